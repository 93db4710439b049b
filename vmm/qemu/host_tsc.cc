// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/host_tsc.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#include <limits>

namespace msb {
namespace {

// Intel SDM volume 2, CPUID 80000007H: EDX bit 8, the counter runs at one rate in every state.
bool CounterIsInvariant() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
}

int64_t MonotonicNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

HostTscMeter::HostTscMeter() : fit_(CounterIsInvariant()) {
  if (fit_) start_ = Take();
}

// Of several readings the one in which the least time passed between counter and clock: the others
// were interrupted.
HostTscMeter::Sample HostTscMeter::Take() {
  Sample best;
  uint64_t narrowest = std::numeric_limits<uint64_t>::max();
  for (int i = 0; i < 8; ++i) {
    const uint64_t before = __rdtsc();
    const int64_t nanoseconds = MonotonicNanoseconds();
    const uint64_t after = __rdtsc();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best = {.ticks = before + (after - before) / 2, .nanoseconds = nanoseconds};
  }
  return best;
}

std::optional<uint64_t> HostTscMeter::Khz(absl::Duration least) const {
  if (!fit_) return std::nullopt;
  const int64_t left =
      start_.nanoseconds + absl::ToInt64Nanoseconds(least) - MonotonicNanoseconds();
  if (left > 0) {
    const timespec wait{.tv_sec = 0, .tv_nsec = left};
    ::nanosleep(&wait, nullptr);  // cut short by a signal, it measures a little worse
  }
  const Sample now = Take();
  const uint64_t ticks = now.ticks - start_.ticks;
  const auto nanoseconds = static_cast<uint64_t>(now.nanoseconds - start_.nanoseconds);
  if (nanoseconds == 0) return std::nullopt;
  const double khz = static_cast<double>(ticks) / static_cast<double>(nanoseconds) * 1e6;
  return static_cast<uint64_t>(khz + 0.5);
}

}  // namespace msb
