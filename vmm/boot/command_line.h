// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The kernel's command line on our own (KVM) machine.

#ifndef MSB_VMM_BOOT_COMMAND_LINE_H_
#define MSB_VMM_BOOT_COMMAND_LINE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vmm/memory/guest_address.h"

namespace msb {

// COMMAND_LINE_SIZE of arch/x86, less the final NUL.
inline constexpr size_t kMaxCommandLineBytes = 2047;

struct MmioWindow {
  GuestRange range;
  uint32_t interrupt = 0;
};

struct CommandLineParts {
  // See vm_spec.proto, KvmOptions.
  bool emulated_ring0 = false;
  // In the order in which Linux is to find them.
  absl::Span<const MmioWindow> virtio_devices;
  // The spec's own words, behind ours: the later word wins in Linux.
  absl::string_view extra;
};

// kVmSpecInvalid when the whole is longer than kMaxCommandLineBytes, or `extra` holds anything but
// printable ASCII.
absl::StatusOr<std::string> BuildCommandLine(const CommandLineParts& parts);

}  // namespace msb

#endif  // MSB_VMM_BOOT_COMMAND_LINE_H_
