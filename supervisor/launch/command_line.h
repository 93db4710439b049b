// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The words of the kernel's command line that the daemon knows best: where the guest agent finds
// its root (guest-agent/boot/README.md). The VMM adds those of the machine itself (console, reboot,
// devices, what an emulated ring 0 needs).

#ifndef MSB_SUPERVISOR_LAUNCH_COMMAND_LINE_H_
#define MSB_SUPERVISOR_LAUNCH_COMMAND_LINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "supervisor/launch/launcher.h"

namespace msb {

// From the disks: the first is the image's root, the first writable one its writable layer; without
// a writable one that layer is in memory. `spec.command_line` comes last, and the later word wins.
// `layer_bytes`: of the first disk's files, multiples of 4096.
std::string GuestCommandLine(const LaunchSpec& spec, const std::vector<uint64_t>& layer_bytes);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_COMMAND_LINE_H_
