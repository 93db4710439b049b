// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Everything that Linux finds in memory at its first instruction, by the 64-bit boot protocol
// (Documentation/x86/boot.rst, "64-bit Boot Protocol").
//
// Not PVH: its entry is 32-bit code that builds the zero page from another table before it comes to
// the same startup_64. This way the machine starts in long mode at once, with fewer instructions in
// front of the kernel (each costs 0.6 us where ring 0 is emulated) and without asking for
// CONFIG_PVH.

#ifndef MSB_VMM_BOOT_LINUX_BOOT_H_
#define MSB_VMM_BOOT_LINUX_BOOT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "vmm/boot/file_placement.h"
#include "vmm/memory/guest_address.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

struct LinuxBoot {
  int kernel = -1;           // vmlinux
  int initramfs = -1;        // -1: none
  std::string command_line;  // at most kMaxCommandLineBytes
  uint32_t vcpus = 1;
  FilePlacement placement = FilePlacement::kMap;
};

// Loads kernel and initramfs and writes the zero page, command line, MP table, GDT and page tables
// into `memory`, which has the ranges of address_map::RamRanges and is still zero. Returns the
// address of the first instruction; the registers that go with it are in kvm/boot_registers.h.
absl::StatusOr<GuestAddress> LoadLinux(const GuestMemory& memory, const LinuxBoot& boot);

}  // namespace msb

#endif  // MSB_VMM_BOOT_LINUX_BOOT_H_
