// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The place where a guest is saved as a boot snapshot (docs/boot-snapshots.md), and from which
// every guest that is made of it goes on.

#ifndef MSB_GUEST_AGENT_BOOT_BOOT_SNAPSHOT_H_
#define MSB_GUEST_AGENT_BOOT_BOOT_SNAPSHOT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "guest-agent/boot/parameters.h"

namespace msb {

// Says on the console that it waits, which is when the host saves the machine, and returns once the
// machine has devices and the kernel has taken them all, in their order. So the guest that is saved
// waits here until it ends; what returns is a new one. Needs /dev.
absl::Status AwaitDevices();

// Asks the host what this guest is to be. Behind it the kernel's generator has a state that no
// other guest of the snapshot shares, and the clock is the host's.
absl::StatusOr<BootParameters> ReceiveBootParameters();

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_BOOT_SNAPSHOT_H_
