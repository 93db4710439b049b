// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The clock of an MC146818 at ports 0x70 and 0x71, read-only: a guest that has no KVM clock takes
// its first idea of the time from here, and without it waits in vain for the end of an update. No
// alarm, no interrupt, no CMOS memory: everything else reads as zero, and a write changes nothing.

#ifndef MSB_VMM_DEVICES_LEGACY_REAL_TIME_CLOCK_H_
#define MSB_VMM_DEVICES_LEGACY_REAL_TIME_CLOCK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "vmm/bus/bus.h"

namespace msb {

class RealTimeClock final : public BusDevice {
 public:
  explicit RealTimeClock(std::function<absl::Time()> now) : now_(std::move(now)) {}

  static constexpr uint64_t kPorts = 2;
  void Read(uint64_t offset, absl::Span<uint8_t> data) override;
  void Write(uint64_t offset, absl::Span<const uint8_t> data) override;

 private:
  uint8_t ReadRegister(uint8_t index) const;

  const std::function<absl::Time()> now_;
  std::atomic<uint8_t> index_{0};
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_LEGACY_REAL_TIME_CLOCK_H_
