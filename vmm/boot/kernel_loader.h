// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Puts an uncompressed Linux kernel (vmlinux: ELF64, x86-64) into guest memory, at the physical
// addresses of its program headers.
//
// The file is hostile: every field is checked against the file's size and the guest's RAM.

#ifndef MSB_VMM_BOOT_KERNEL_LOADER_H_
#define MSB_VMM_BOOT_KERNEL_LOADER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "vmm/boot/file_placement.h"
#include "vmm/memory/guest_address.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

struct LoadedKernel {
  GuestAddress entry{};  // of the 64-bit boot protocol, within a segment
  uint64_t end = 0;      // one past the last byte, .bss included
};

// `image` is read from offset 0 by position. kKernelInvalid, kKernelWrongMachine, or
// kKernelTooLarge when it does not fit below the end of low RAM and of the boot page tables.
// kHostError when the host cannot read the file.
absl::StatusOr<LoadedKernel> LoadKernel(int image, const GuestMemory& memory,
                                        FilePlacement placement);

}  // namespace msb

#endif  // MSB_VMM_BOOT_KERNEL_LOADER_H_
