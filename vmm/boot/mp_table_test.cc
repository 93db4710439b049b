// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/mp_table.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "tests/support/matchers.h"
#include "vmm/boot/address_map.h"

namespace msb {
namespace {

// Reads the table as a kernel does: finds the signature, adds up the sums, walks the entries.
class MpTableTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    const std::vector<GuestRange> ranges = {{GuestAddress{0}, 1 << 20}};
    GuestMemory memory = *GuestMemory::Allocate(ranges);
    ASSERT_OK(WriteMpTable(memory, GetParam()));
    const auto bytes = *memory.Bytes({address_map::kMpTable, address_map::kMpTableBytes});
    table_.assign(bytes.begin(), bytes.end());
  }
  uint32_t Word(size_t offset, size_t bytes) const {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= uint32_t{table_[offset + i]} << (8 * i);
    return value;
  }
  uint8_t Sum(size_t start, size_t bytes) const {
    return std::accumulate(table_.begin() + static_cast<ptrdiff_t>(start),
                           table_.begin() + static_cast<ptrdiff_t>(start + bytes), uint8_t{0},
                           [](uint8_t a, uint8_t b) { return static_cast<uint8_t>(a + b); });
  }
  std::vector<uint8_t> table_;
};

constexpr size_t kHeader = 16;
constexpr size_t kFirstEntry = kHeader + 44;

TEST_P(MpTableTest, PointsToATableWithRightSums) {
  EXPECT_EQ(std::string(table_.begin(), table_.begin() + 4), "_MP_");
  EXPECT_EQ(Word(4, 4), ToUint64(address_map::kMpTable) + kHeader);
  EXPECT_EQ(Sum(0, 16), 0);
  EXPECT_EQ(std::string(table_.begin() + kHeader, table_.begin() + kHeader + 4), "PCMP");
  EXPECT_EQ(Sum(kHeader, Word(kHeader + 4, 2)), 0);
  EXPECT_EQ(Word(kHeader + 36, 4), 0xfee00000);
}

TEST_P(MpTableTest, ListsProcessorsAndAPinForEachLine) {
  std::vector<uint32_t> processors, bootstrap, io_apics;
  std::map<uint32_t, uint32_t> pin_of_line;
  size_t at = kFirstEntry;
  const uint32_t entries = Word(kHeader + 34, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    switch (table_[at]) {
      case 0:
        EXPECT_EQ(table_[at + 3] & 1, 1);
        processors.push_back(table_[at + 1]);
        if (table_[at + 3] & 2) bootstrap.push_back(table_[at + 1]);
        at += 20;
        break;
      case 2:
        EXPECT_EQ(Word(at + 4, 4), 0xfec00000);
        io_apics.push_back(table_[at + 1]);
        at += 8;
        break;
      case 3:
        EXPECT_EQ(table_[at + 6], io_apics.at(0));
        pin_of_line[table_[at + 5]] = table_[at + 7];
        at += 8;
        break;
      default:
        at += 8;
    }
  }
  EXPECT_EQ(at - kHeader, Word(kHeader + 4, 2));
  ASSERT_EQ(processors.size(), GetParam());
  for (uint32_t i = 0; i < GetParam(); ++i) EXPECT_EQ(processors[i], i);
  EXPECT_EQ(bootstrap, std::vector<uint32_t>{0});
  EXPECT_EQ(io_apics, std::vector<uint32_t>{GetParam()});  // an id of its own
  EXPECT_EQ(pin_of_line[address_map::kSerialInterrupt], address_map::kSerialInterrupt);
  for (const uint32_t line : address_map::kVirtioInterrupts) EXPECT_EQ(pin_of_line[line], line);
}

INSTANTIATE_TEST_SUITE_P(Vcpus, MpTableTest, ::testing::Values(1, 2, 5, kMaxVcpus));

}  // namespace
}  // namespace msb
