// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/legacy/real_time_clock.h"

#include <gtest/gtest.h>

namespace msb {
namespace {

class RealTimeClockTest : public ::testing::Test {
 protected:
  uint8_t In(uint8_t index) {
    clock_.Write(0, {&index, 1});
    uint8_t value = 0;
    clock_.Read(1, {&value, 1});
    return value;
  }

  // A Sunday.
  absl::Time now_ = absl::FromCivil(absl::CivilSecond(2027, 2, 28, 23, 58, 9), absl::UTCTimeZone());
  RealTimeClock clock_{[this] { return now_; }};
};

TEST_F(RealTimeClockTest, TellsTheTimeInBcd) {
  EXPECT_EQ(In(0x00), 0x09);
  EXPECT_EQ(In(0x02), 0x58);
  EXPECT_EQ(In(0x04), 0x23);
  EXPECT_EQ(In(0x06), 0x01);
  EXPECT_EQ(In(0x07), 0x28);
  EXPECT_EQ(In(0x08), 0x02);
  EXPECT_EQ(In(0x09), 0x27);
  EXPECT_EQ(In(0x32), 0x20);
  now_ += absl::Seconds(111);
  EXPECT_EQ(In(0x06), 0x02);
  EXPECT_EQ(In(0x08), 0x03);
}

TEST_F(RealTimeClockTest, IsNeverWithinAnUpdateAndCountsTo24InBcd) {
  EXPECT_EQ(In(0x0a) & 0x80, 0);
  EXPECT_EQ(In(0x0b), 0x02);
  EXPECT_EQ(In(0x0d), 0x80);
}

TEST_F(RealTimeClockTest, IgnoresTheNmiMaskAndWritesToTheClock) {
  EXPECT_EQ(In(0x80), 0x09);
  const uint8_t value = 0x33;
  clock_.Write(1, {&value, 1});
  EXPECT_EQ(In(0x00), 0x09);
  EXPECT_EQ(In(0x40), 0x00);
}

}  // namespace
}  // namespace msb
