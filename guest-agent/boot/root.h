// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Makes the image the root: its file system below, a writable layer above, then the switch.

#ifndef MSB_GUEST_AGENT_BOOT_ROOT_H_
#define MSB_GUEST_AGENT_BOOT_ROOT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "guest-agent/boot/parameters.h"

namespace msb {

// Mounts /proc, /sys, /run, /dev with what belongs there, and all that a Linux program takes for
// granted. Only what commands cannot do without is an error. In the initramfs: none of it depends
// on the image, and what a boot snapshot holds need not be done again.
absl::Status MountSystem();

// Of the kernel's command line. Needs /proc.
absl::StatusOr<BootParameters> ReadBootParameters();

// Behind it the process lives in the image, and what MountSystem has mounted too. Returns the root
// directory of the writable layer's file system, which no path of the new root leads to (it is
// needed to remount it at the end).
absl::StatusOr<UniqueFd> SwitchToImage(const BootParameters& parameters);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_ROOT_H_
