// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/bus/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace msb {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

// Remembers what was written where, and gives it back.
class FakeDevice final : public BusDevice {
 public:
  void Read(uint64_t offset, absl::Span<uint8_t> data) override {
    std::memcpy(data.data(), bytes.data() + offset, data.size());
  }
  void Write(uint64_t offset, absl::Span<const uint8_t> data) override {
    std::memcpy(bytes.data() + offset, data.data(), data.size());
  }
  std::array<uint8_t, 16> bytes{};
};

TEST(BusTest, GivesTheOffsetWithinTheWindow) {
  FakeDevice low, high;
  Bus bus;
  bus.Add(0x2000, 16, high);
  bus.Add(0x1000, 16, low);

  const std::array<uint8_t, 2> word = {0xaa, 0xbb};
  EXPECT_TRUE(bus.Write(0x2004, word));

  EXPECT_THAT(low.bytes, Each(0));
  EXPECT_EQ(high.bytes[4], 0xaa);
  std::array<uint8_t, 4> back{};
  EXPECT_TRUE(bus.Read(0x2003, absl::MakeSpan(back)));
  EXPECT_THAT(back, ElementsAre(0, 0xaa, 0xbb, 0));
}

TEST(BusTest, ReadsAllOnesWhereThereIsNobody) {
  FakeDevice device;
  Bus bus;
  bus.Add(0x1000, 16, device);

  for (const uint64_t address : {uint64_t{0}, uint64_t{0xfff}, uint64_t{0x1010}, UINT64_MAX - 3}) {
    std::array<uint8_t, 4> data{};
    EXPECT_FALSE(bus.Read(address, absl::MakeSpan(data))) << address;
    EXPECT_THAT(data, Each(0xff));
    EXPECT_FALSE(bus.Write(address, data)) << address;
  }
  EXPECT_THAT(device.bytes, Each(0));
}

TEST(BusTest, AnAccessAcrossTheEndOfAWindowBelongsToNobody) {
  FakeDevice first, second;
  Bus bus;
  bus.Add(0x1000, 16, first);
  bus.Add(0x1010, 16, second);

  const std::array<uint8_t, 4> data = {1, 2, 3, 4};
  EXPECT_FALSE(bus.Write(0x100e, data));
  EXPECT_TRUE(bus.Write(0x100c, data));
  EXPECT_TRUE(bus.Write(0x1010, data));

  EXPECT_EQ(first.bytes[15], 4);
  EXPECT_EQ(second.bytes[0], 1);
}

TEST(BusDeathTest, OverlappingWindowsAreABug) {
  FakeDevice device;
  Bus bus;
  bus.Add(0x1000, 16, device);

  EXPECT_DEATH(bus.Add(0x100f, 16, device), "");
  EXPECT_DEATH(bus.Add(0xff8, 16, device), "");
}

}  // namespace
}  // namespace msb
