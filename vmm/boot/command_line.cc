// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/command_line.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"

namespace msb {
namespace {

// reboot=t: by a triple fault, which ends KVM_RUN without any device. panic=-1: at once.
// nomodule and the like are not here: the kernel's configuration says it.
constexpr absl::string_view kBase = "console=ttyS0 reboot=t panic=-1";

// What KVM's instruction emulator cannot do, by number of X86_FEATURE_*: SMAP, SMEP, FSGSBASE,
// POPCNT, RDRAND, RDSEED, CX16, ERMS, FSRM. Masking CPUID alone is not enough: where ring 0 is
// emulated, it reads the host's leaves.
constexpr absl::string_view kEmulatedRing0 =
    "noxsave clearcpuid=308,295,288,151,158,306,141,297,580";

}  // namespace

absl::StatusOr<std::string> BuildCommandLine(const CommandLineParts& parts) {
  if (!std::all_of(parts.extra.begin(), parts.extra.end(), absl::ascii_isprint)) {
    return MakeError(Reason::kVmSpecInvalid, "command_line: only printable ASCII is allowed");
  }
  std::string line(kBase);
  if (parts.emulated_ring0) absl::StrAppend(&line, " ", kEmulatedRing0);
  for (const MmioWindow& window : parts.virtio_devices) {
    absl::StrAppendFormat(&line, " virtio_mmio.device=%d@%#x:%d", window.range.size,
                          ToUint64(window.range.start), window.interrupt);
  }
  if (!parts.extra.empty()) absl::StrAppend(&line, " ", parts.extra);
  if (line.size() > kMaxCommandLineBytes) {
    return MakeError(Reason::kVmSpecInvalid, absl::StrCat("command_line: ", line.size(),
                                                          " bytes with the machine's own, 0..",
                                                          kMaxCommandLineBytes, " are allowed"));
  }
  return line;
}

}  // namespace msb
