// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/memory/memory_image.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::Each;

constexpr uint64_t kPage = 4096;
constexpr GuestRange kLow{GuestAddress{0}, 8 * kPage};
constexpr GuestRange kHigh{GuestAddress{0x1'0000'0000}, 4 * kPage};

UniqueFd EmptyFile() {
  UniqueFd file(::memfd_create("image", MFD_CLOEXEC));
  MSB_CHECK(file.valid());
  return file;
}

struct stat StatOf(const UniqueFd& file) {
  struct stat info {};
  MSB_CHECK(::fstat(file.get(), &info) == 0);
  return info;
}

// Page 2 of the low region and page 1 of the high one are not zero.
GuestMemory Written() {
  auto memory = GuestMemory::Allocate({kLow, kHigh});
  MSB_CHECK(memory.ok());
  MSB_CHECK(memory->Store(GuestAddress{2 * kPage + 7}, uint32_t{0x11223344}).ok());
  MSB_CHECK(memory->Store(GuestAddress{0x1'0000'0000 + 2 * kPage - 4}, uint32_t{5}).ok());
  return *std::move(memory);
}

UniqueFd ImageOf(const GuestMemory& memory) {
  UniqueFd image = EmptyFile();
  MSB_CHECK(WriteMemoryImage(memory, image.get()).ok());
  return image;
}

TEST(MemoryImageTest, APageOfZeroesIsAHole) {
  const UniqueFd image = ImageOf(Written());
  EXPECT_EQ(StatOf(image).st_size, static_cast<off_t>(12 * kPage));
  EXPECT_EQ(StatOf(image).st_blocks * 512, static_cast<off_t>(2 * kPage));
}

TEST(MemoryImageTest, AMachineThatGoesOnHasWhatWasWritten) {
  ASSERT_OK_AND_ASSIGN(const GuestMemory memory, MapMemoryImage(ImageOf(Written()), {kLow, kHigh}));
  EXPECT_EQ(*memory.Load<uint32_t>(GuestAddress{2 * kPage + 7}), 0x11223344u);
  EXPECT_EQ(*memory.Load<uint32_t>(GuestAddress{0x1'0000'0000 + 2 * kPage - 4}), 5u);
  ASSERT_OK_AND_ASSIGN(const auto untouched, memory.Bytes({GuestAddress{0}, 2 * kPage}));
  EXPECT_THAT(untouched, Each(0));
}

TEST(MemoryImageTest, WhatOneMachineWritesNoOtherSees) {
  const UniqueFd image = ImageOf(Written());
  ASSERT_OK_AND_ASSIGN(const GuestMemory one,
                       MapMemoryImage(UniqueFd(::dup(image.get())), {kLow, kHigh}));
  ASSERT_OK_AND_ASSIGN(const GuestMemory other,
                       MapMemoryImage(UniqueFd(::dup(image.get())), {kLow, kHigh}));
  ASSERT_OK(one.Store(GuestAddress{2 * kPage + 7}, uint32_t{1}));
  ASSERT_OK(one.Store(GuestAddress{0}, uint32_t{2}));
  EXPECT_EQ(*other.Load<uint32_t>(GuestAddress{2 * kPage + 7}), 0x11223344u);
  EXPECT_EQ(*other.Load<uint32_t>(GuestAddress{0}), 0u);
  uint32_t in_file = 7;
  ASSERT_EQ(::pread(image.get(), &in_file, sizeof(in_file), 0), ssize_t{sizeof(in_file)});
  EXPECT_EQ(in_file, 0u);
}

TEST(MemoryImageTest, AnImageOfAnotherSizeIsRefused) {
  EXPECT_THAT(MapMemoryImage(ImageOf(Written()), {kLow}), HasReason(Reason::kStateInvalid));
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemoryFile(kPage));
  EXPECT_THAT(ReadMemoryImage(ImageOf(Written()).get(), memory.get()),
              HasReason(Reason::kStateInvalid));
}

TEST(MemoryImageTest, AMemoryFileComesBackWithItsHoles) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemoryFile(1024 * kPage));
  const std::string words = "not nothing";
  ASSERT_EQ(::pwrite(memory.get(), words.data(), words.size(), 700 * kPage + 9),
            static_cast<ssize_t>(words.size()));
  // Allocated, and zero.
  const std::string zeroes(kPage, '\0');
  ASSERT_EQ(::pwrite(memory.get(), zeroes.data(), zeroes.size(), 5 * kPage),
            static_cast<ssize_t>(kPage));
  const UniqueFd image = EmptyFile();
  ASSERT_OK(WriteMemoryImage(memory.get(), image.get()));
  EXPECT_EQ(StatOf(image).st_blocks * 512, static_cast<off_t>(kPage));

  ASSERT_OK_AND_ASSIGN(const UniqueFd again, MakeMemoryFile(1024 * kPage));
  ASSERT_OK(ReadMemoryImage(image.get(), again.get()));
  EXPECT_EQ(StatOf(again).st_blocks * 512, static_cast<off_t>(kPage));
  std::string read(words.size(), '\0');
  ASSERT_EQ(::pread(again.get(), read.data(), read.size(), 700 * kPage + 9),
            static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, words);
}

}  // namespace
}  // namespace msb
