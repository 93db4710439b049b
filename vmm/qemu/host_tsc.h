// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How fast the host's time stamp counter runs. A guest under TCG reads that same counter, but has
// no timer good enough to measure it: it would fall back on counting its own ticks.

#ifndef MSB_VMM_QEMU_HOST_TSC_H_
#define MSB_VMM_QEMU_HOST_TSC_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace msb {

class HostTscMeter {
 public:
  // Begins to measure, where the counter is fit to be a clock (constant, in all idle states).
  HostTscMeter();

  // Long enough for an error of a few millionths (measured: 1 or 2, on a busy host), which is a
  // second in some days.
  static constexpr absl::Duration kShortest = absl::Milliseconds(2);

  // For what lives as long as the host, and that nobody waits for.
  static constexpr absl::Duration kLong = absl::Milliseconds(100);

  // Waits until `least` has passed since the construction. nullopt when the counter is unfit.
  std::optional<uint64_t> Khz(absl::Duration least = kShortest) const;

 private:
  struct Sample {
    uint64_t ticks = 0;
    int64_t nanoseconds = 0;  // CLOCK_MONOTONIC
  };
  static Sample Take();

  bool fit_ = false;
  Sample start_;
};

}  // namespace msb

#endif  // MSB_VMM_QEMU_HOST_TSC_H_
