// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/file_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "tests/guests/memory_file.h"
#include "tests/support/matchers.h"
#include "vmm/memory/memory_image.h"

namespace msb {
namespace {

constexpr uint64_t kPage = 4096;

class FilePlacementTest : public testing::TestWithParam<FilePlacement> {};
INSTANTIATE_TEST_SUITE_P(Both, FilePlacementTest,
                         testing::Values(FilePlacement::kMap, FilePlacement::kCopy));

TEST_P(FilePlacementTest, IsSeenByAllWhoMapTheMemory) {
  const std::string content(2 * kPage + 100, 'k');
  const UniqueFd file = MemoryFile(content);
  ASSERT_OK_AND_ASSIGN(UniqueFd shared, MakeMemoryFile(4 * kPage));
  const GuestRange all{GuestAddress{0}, 4 * kPage};
  ASSERT_OK_AND_ASSIGN(GuestMemory other,
                       GuestMemory::MapShared(UniqueFd(::dup(shared.get())), {all}));
  ASSERT_OK_AND_ASSIGN(GuestMemory memory, GuestMemory::MapShared(std::move(shared), {all}));

  ASSERT_OK(PlaceFile(file.get(), 0, memory, {GuestAddress{kPage}, content.size()}, GetParam()));

  ASSERT_OK_AND_ASSIGN(const auto seen, other.Bytes({GuestAddress{kPage}, content.size()}));
  EXPECT_EQ(std::string(seen.begin(), seen.end()), content);
  // And what the others write there is the machine's.
  seen[0] = 'o';
  ASSERT_OK_AND_ASSIGN(const auto own, memory.Bytes({GuestAddress{kPage}, 1}));
  EXPECT_EQ(own[0], 'o');
}

}  // namespace
}  // namespace msb
