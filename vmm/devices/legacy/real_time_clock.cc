// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/legacy/real_time_clock.h"

#include <algorithm>

namespace msb {
namespace {

// Registers of the MC146818.
enum Register : uint8_t {
  kSeconds = 0x00,
  kMinutes = 0x02,
  kHours = 0x04,
  kWeekday = 0x06,  // 1: Sunday
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,  // within the century
  kStatusB = 0x0b,
  kStatusD = 0x0d,
  kCentury = 0x32,
};

constexpr uint8_t kIndexBits = 0x7f;     // the top bit of port 0x70 masks the NMI
constexpr uint8_t k24Hours = 0x02;       // status B; its binary mode bit is clear: BCD
constexpr uint8_t kClockIsValid = 0x80;  // status D: the battery is good

uint8_t Bcd(int64_t value) { return static_cast<uint8_t>(value / 10 % 10 * 16 + value % 10); }

}  // namespace

void RealTimeClock::Read(uint64_t offset, absl::Span<uint8_t> data) {
  std::fill(data.begin(), data.end(), uint8_t{0});
  data[0] = offset == 0 ? uint8_t{0xff} : ReadRegister(index_.load(std::memory_order_relaxed));
}

void RealTimeClock::Write(uint64_t offset, absl::Span<const uint8_t> data) {
  if (offset == 0) index_.store(data[0] & kIndexBits, std::memory_order_relaxed);
}

uint8_t RealTimeClock::ReadRegister(uint8_t index) const {
  const absl::CivilSecond time = absl::ToCivilSecond(now_(), absl::UTCTimeZone());
  switch (index) {
    case kSeconds:
      return Bcd(time.second());
    case kMinutes:
      return Bcd(time.minute());
    case kHours:
      return Bcd(time.hour());
    case kWeekday:  // absl::Weekday begins with Monday
      return Bcd((static_cast<int>(absl::GetWeekday(absl::CivilDay(time))) + 1) % 7 + 1);
    case kDay:
      return Bcd(time.day());
    case kMonth:
      return Bcd(time.month());
    case kYear:
      return Bcd(time.year() % 100);
    case kCentury:
      return Bcd(time.year() / 100);
    case kStatusB:
      return k24Hours;
    case kStatusD:
      return kClockIsValid;
    default:
      return 0;  // status A among them: no update is in progress
  }
}

}  // namespace msb
