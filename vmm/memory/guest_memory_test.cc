// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/memory/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::Each;

constexpr uint64_t kPage = 4096;
constexpr GuestAddress kLow{0x1'0000};
constexpr GuestAddress kHigh{0x1'0000'0000};

GuestMemory TwoRegions() {
  auto memory = GuestMemory::Allocate({{kHigh, 4 * kPage}, {kLow, 2 * kPage}});
  MSB_CHECK(memory.ok());
  return *std::move(memory);
}

UniqueFd FileOf(absl::string_view content) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  MSB_CHECK(::write(fd.get(), content.data(), content.size()) ==
            static_cast<ssize_t>(content.size()));
  return fd;
}

std::vector<GuestMemory::FilePart> Parts(UniqueFd fd, uint64_t offset, GuestRange range) {
  std::vector<GuestMemory::FilePart> parts;
  parts.push_back({.fd = std::move(fd), .file_offset = offset, .range = range});
  return parts;
}

TEST(GuestMemoryTest, SortsItsRegionsAndAddsThemUp) {
  const GuestMemory memory = TwoRegions();
  ASSERT_EQ(memory.regions().size(), 2u);
  EXPECT_EQ(memory.regions()[0].range.start, kLow);
  EXPECT_EQ(memory.regions()[1].range.start, kHigh);
  EXPECT_EQ(memory.total_bytes(), 6 * kPage);
}

TEST(GuestMemoryTest, StartsZeroedAndKeepsWhatIsStored) {
  const GuestMemory memory = TwoRegions();
  ASSERT_OK_AND_ASSIGN(const auto bytes, memory.Bytes({kLow, 2 * kPage}));
  EXPECT_THAT(bytes, Each(0));

  ASSERT_OK(memory.Store<uint32_t>(*Offset(kHigh, 7), 0xdeadbeef));

  ASSERT_OK_AND_ASSIGN(const auto value, memory.Load<uint32_t>(*Offset(kHigh, 7)));
  EXPECT_EQ(value, 0xdeadbeef);
}

TEST(GuestMemoryTest, GivesBytesUpToTheLastOneOfARegion) {
  const GuestMemory memory = TwoRegions();
  EXPECT_OK(memory.Bytes({*Offset(kLow, 2 * kPage - 1), 1}));
  EXPECT_THAT(memory.Bytes({*Offset(kLow, 2 * kPage - 1), 2}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(memory.Bytes({*Offset(kLow, 2 * kPage), 1}), HasReason(Reason::kGuestViolation));
}

TEST(GuestMemoryTest, RefusesBytesOutsideAndWrappingOnes) {
  const GuestMemory memory = TwoRegions();
  const uint64_t top = std::numeric_limits<uint64_t>::max();
  EXPECT_THAT(memory.Bytes({GuestAddress{0}, 1}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(memory.Bytes({kLow, top}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(memory.Bytes({*Offset(kHigh, 8), top}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(memory.Bytes({GuestAddress{top}, 2}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(memory.Load<uint64_t>(*Offset(kLow, 2 * kPage - 4)),
              HasReason(Reason::kGuestViolation));
  EXPECT_THAT(memory.Store<uint8_t>(GuestAddress{0}, 1), HasReason(Reason::kGuestViolation));
}

TEST(GuestMemoryTest, GivesNoBytesForAnEmptyRangeInARegion) {
  const GuestMemory memory = TwoRegions();
  ASSERT_OK_AND_ASSIGN(const auto bytes, memory.Bytes({kLow, 0}));
  EXPECT_TRUE(bytes.empty());
}

TEST(GuestMemoryTest, DoesNotJoinAdjacentRegions) {
  ASSERT_OK_AND_ASSIGN(const GuestMemory memory,
                       GuestMemory::Allocate({{kLow, kPage}, {*Offset(kLow, kPage), kPage}}));
  EXPECT_THAT(memory.Bytes({kLow, kPage + 1}), HasReason(Reason::kGuestViolation));
}

TEST(GuestMemoryTest, RefusesRangesThatCannotBeMemory) {
  const GuestAddress last_page{std::numeric_limits<uint64_t>::max() - kPage + 1};
  EXPECT_THAT(GuestMemory::Allocate({}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::Allocate({{kLow, 0}}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::Allocate({{kLow, 100}}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::Allocate({{GuestAddress{1}, kPage}}),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::Allocate({{last_page, 2 * kPage}}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::Allocate({{kLow, 2 * kPage}, {*Offset(kLow, kPage), kPage}}),
              HasReason(Reason::kInvalidArgument));
}

TEST(GuestMemoryTest, SaysWhenTheHostHasNoRoom) {
  EXPECT_THAT(GuestMemory::Allocate({{kLow, uint64_t{1} << 62}}),
              HasReason(Reason::kHostOutOfMemory));
}

TEST(GuestMemoryTest, MovesItsMappings) {
  GuestMemory first = TwoRegions();
  ASSERT_OK(first.Store<uint8_t>(kLow, 42));
  GuestMemory second = std::move(first);
  GuestMemory third = TwoRegions();
  third = std::move(second);
  ASSERT_OK_AND_ASSIGN(const auto value, third.Load<uint8_t>(kLow));
  EXPECT_EQ(value, 42);
}

TEST(GuestMemoryTest, SharesAPartOfAFile) {
  UniqueFd file = FileOf(std::string(kPage, 'a') + std::string(kPage, 'b'));
  const UniqueFd other(::dup(file.get()));
  ASSERT_OK_AND_ASSIGN(const GuestMemory memory,
                       GuestMemory::MapShared(Parts(std::move(file), kPage, {kHigh, kPage})));
  ASSERT_OK_AND_ASSIGN(const auto bytes, memory.Bytes({kHigh, kPage}));
  EXPECT_THAT(bytes, Each('b'));

  ASSERT_OK(memory.Store<char>(*Offset(kHigh, 1), 'x'));

  char read_back[3] = {};
  ASSERT_EQ(::pread(other.get(), read_back, 2, kPage), 2);
  EXPECT_STREQ(read_back, "bx");
}

TEST(GuestMemoryTest, RefusesAPartThatItsFileDoesNotHold) {
  const std::string page(kPage, 'a');
  const uint64_t top_page = std::numeric_limits<uint64_t>::max() - kPage + 1;
  EXPECT_THAT(GuestMemory::MapShared(Parts(FileOf(page), 0, {kLow, 2 * kPage})),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::MapShared(Parts(FileOf(page), kPage, {kLow, kPage})),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::MapShared(Parts(FileOf(page), top_page, {kLow, kPage})),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(GuestMemory::MapShared(Parts(FileOf(page + page), 7, {kLow, kPage})),
              HasReason(Reason::kInvalidArgument));
  EXPECT_FALSE(GuestMemory::MapShared(Parts(UniqueFd(), 0, {kLow, kPage})).ok());
}

TEST(GuestMemoryTest, DiscardsTheWholePagesOfARangeAndNoOthers) {
  const GuestMemory memory = TwoRegions();
  ASSERT_OK_AND_ASSIGN(const auto bytes, memory.Bytes({kHigh, 4 * kPage}));
  std::fill(bytes.begin(), bytes.end(), uint8_t{7});

  ASSERT_OK(memory.Discard(bytes.subspan(1, 3 * kPage)));
  EXPECT_THAT(bytes.subspan(0, kPage), Each(7));
  EXPECT_THAT(bytes.subspan(kPage, 2 * kPage), Each(0));
  EXPECT_THAT(bytes.subspan(3 * kPage), Each(7));

  ASSERT_OK(memory.Discard(bytes.subspan(1, kPage - 1)));
  ASSERT_OK(memory.Discard(bytes.subspan(0, kPage - 1)));
  ASSERT_OK(memory.Discard({}));
  EXPECT_THAT(bytes.subspan(0, kPage), Each(7));
}

TEST(GuestMemoryTest, DiscardsSharedMemoryFromItsFileToo) {
  UniqueFd file = FileOf(std::string(2 * kPage, 'a'));
  const UniqueFd other(::dup(file.get()));
  ASSERT_OK_AND_ASSIGN(const GuestMemory memory,
                       GuestMemory::MapShared(Parts(std::move(file), 0, {kHigh, 2 * kPage})));
  ASSERT_OK_AND_ASSIGN(const auto bytes, memory.Bytes({kHigh, kPage}));
  ASSERT_OK(memory.Discard(bytes));
  char read_back = 'x';
  ASSERT_EQ(::pread(other.get(), &read_back, 1, 0), 1);
  EXPECT_EQ(read_back, '\0');
}

TEST(GuestMemoryTest, ReadsAPieceOfAFileIntoTheGuest) {
  const GuestMemory memory = TwoRegions();
  const UniqueFd file = FileOf("0123456789");

  ASSERT_OK(memory.ReadFrom(file.get(), 3, {*Offset(kLow, 1), 5}));

  ASSERT_OK_AND_ASSIGN(const auto bytes, memory.Bytes({kLow, 7}));
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), std::string("\0"
                                                                 "34567"
                                                                 "\0",
                                                                 7));
}

TEST(GuestMemoryTest, SaysWhenAFileEndsEarly) {
  const GuestMemory memory = TwoRegions();
  const UniqueFd file = FileOf("0123456789");
  EXPECT_EQ(memory.ReadFrom(file.get(), 3, {kLow, 8}).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(memory.ReadFrom(file.get(), 0, {GuestAddress{0}, 8}),
              HasReason(Reason::kGuestViolation));
  EXPECT_FALSE(memory.ReadFrom(-1, 0, {kLow, 8}).ok());
}

}  // namespace
}  // namespace msb
