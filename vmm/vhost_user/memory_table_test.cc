// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/memory_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/support/matchers.h"

namespace msb::vhost_user {
namespace {

constexpr uint64_t kMiB = 1 << 20;

UniqueFd SealedFile(uint64_t size) {
  UniqueFd file(::memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  MSB_CHECK(::ftruncate(file.get(), static_cast<off_t>(size)) == 0);
  MSB_CHECK(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  return file;
}

Message TableMessage(const std::vector<MemoryRegion>& regions, std::vector<int> files) {
  const MemoryTableHeader header{.regions = static_cast<uint32_t>(regions.size()), .padding = 0};
  Message message{.request = Request::kSetMemoryTable};
  message.payload.assign(reinterpret_cast<const char*>(&header), sizeof(header));
  message.payload.append(reinterpret_cast<const char*>(regions.data()),
                         regions.size() * sizeof(MemoryRegion));
  for (const int file : files) message.descriptors.emplace_back(::dup(file));
  return message;
}

const MemoryRegion kLow{
    .guest_address = 0, .size = kMiB, .user_address = 0x7000'0000, .file_offset = 0};
const MemoryRegion kHigh{.guest_address = 0x1'0000'0000,
                         .size = kMiB,
                         .user_address = 0x7000'0000 + kMiB,
                         .file_offset = kMiB};

TEST(MemoryTableTest, TranslatesAddressesOfEachRegion) {
  const UniqueFd file = SealedFile(2 * kMiB);
  MemoryTables tables;
  ASSERT_OK_AND_ASSIGN(const auto table,
                       tables.Map(TableMessage({kLow, kHigh}, {file.get(), file.get()})));

  EXPECT_EQ(*table->Translate(0x7000'0010, 16), GuestAddress{0x10});
  EXPECT_EQ(*table->Translate(0x7000'0000 + kMiB, 1), GuestAddress{0x1'0000'0000});
  ASSERT_OK(table->memory().Store(GuestAddress{0x1'0000'0000}, uint32_t{0x11223344}));
  uint32_t stored = 0;
  ASSERT_EQ(::pread(file.get(), &stored, sizeof(stored), kMiB), ssize_t{sizeof(stored)});
  EXPECT_EQ(stored, 0x11223344u);
}

TEST(MemoryTableTest, RefusesAddressesThatLeaveARegion) {
  const UniqueFd file = SealedFile(2 * kMiB);
  MemoryTables tables;
  ASSERT_OK_AND_ASSIGN(const auto table, tables.Map(TableMessage({kLow}, {file.get()})));

  EXPECT_THAT(table->Translate(0x7000'0000 - 1, 1), HasReason(Reason::kQemuError));
  EXPECT_THAT(table->Translate(0x7000'0000 + kMiB - 8, 16), HasReason(Reason::kQemuError));
  EXPECT_THAT(table->Translate(0x7000'0000, ~uint64_t{0}), HasReason(Reason::kQemuError));
  EXPECT_THAT(table->Translate(~uint64_t{0}, 16), HasReason(Reason::kQemuError));
}

TEST(MemoryTableTest, MapsTheSameMemoryOnce) {
  const UniqueFd file = SealedFile(2 * kMiB);
  const UniqueFd other = SealedFile(2 * kMiB);
  MemoryTables tables;
  ASSERT_OK_AND_ASSIGN(const auto first, tables.Map(TableMessage({kLow}, {file.get()})));
  ASSERT_OK_AND_ASSIGN(const auto again, tables.Map(TableMessage({kLow}, {file.get()})));
  ASSERT_OK_AND_ASSIGN(const auto different, tables.Map(TableMessage({kLow}, {other.get()})));

  EXPECT_EQ(first, again);
  EXPECT_NE(first, different);
}

TEST(MemoryTableTest, RefusesAFileThatCanShrink) {
  const UniqueFd file(::memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(file.get(), kMiB), 0);
  MemoryTables tables;

  EXPECT_THAT(tables.Map(TableMessage({kLow}, {file.get()})), HasReason(Reason::kQemuError));
}

TEST(MemoryTableTest, RefusesARegionThatItsFileDoesNotHold) {
  const UniqueFd file = SealedFile(kMiB / 2);
  MemoryTables tables;

  EXPECT_THAT(tables.Map(TableMessage({kLow}, {file.get()})), HasReason(Reason::kQemuError));
}

TEST(MemoryTableTest, RefusesRegionsThatOverlapOrWrap) {
  const UniqueFd file = SealedFile(2 * kMiB);
  MemoryTables tables;
  MemoryRegion wraps = kLow;
  wraps.user_address = ~uint64_t{0} - 4096;

  EXPECT_THAT(tables.Map(TableMessage({kLow, kLow}, {file.get(), file.get()})),
              HasReason(Reason::kQemuError));
  EXPECT_THAT(tables.Map(TableMessage({wraps}, {file.get()})), HasReason(Reason::kQemuError));
}

TEST(MemoryTableTest, RefusesCountsThatDoNotMatch) {
  const UniqueFd file = SealedFile(2 * kMiB);
  MemoryTables tables;
  Message long_payload = TableMessage({kLow, kHigh}, {file.get()});
  long_payload.payload[0] = 1;

  EXPECT_THAT(tables.Map(TableMessage({}, {})), HasReason(Reason::kQemuError));
  EXPECT_THAT(tables.Map(TableMessage({kLow}, {})), HasReason(Reason::kQemuError));
  EXPECT_THAT(
      tables.Map(TableMessage(std::vector<MemoryRegion>(9, kLow), std::vector<int>(9, file.get()))),
      HasReason(Reason::kQemuError));
  EXPECT_THAT(tables.Map(std::move(long_payload)), HasReason(Reason::kQemuError));
}

}  // namespace
}  // namespace msb::vhost_user
