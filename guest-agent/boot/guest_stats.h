// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Figures about the guest, and its clock.

#ifndef MSB_GUEST_AGENT_BOOT_GUEST_STATS_H_
#define MSB_GUEST_AGENT_BOOT_GUEST_STATS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Of the machine the process runs on. What cannot be found out is 0.
agent::v1::GuestStats CollectGuestStats();

// CLOCK_REALTIME, ns since the epoch.
absl::Status SetRealtimeClock(uint64_t nanoseconds);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_GUEST_STATS_H_
