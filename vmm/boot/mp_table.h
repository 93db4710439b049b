// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The Intel MultiProcessor table (MP specification 1.4, chapter 4): how a kernel without ACPI
// learns of its processors, the IOAPIC, and which interrupt line ends at which pin.

#ifndef MSB_VMM_BOOT_MP_TABLE_H_
#define MSB_VMM_BOOT_MP_TABLE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

inline constexpr uint32_t kMaxVcpus = 32;

// Writes the table for `vcpus` (1..kMaxVcpus) processors, APIC ids from 0, at
// address_map::kMpTable. Each interrupt line ends at the IOAPIC pin of the same number,
// edge-triggered.
absl::Status WriteMpTable(const GuestMemory& memory, uint32_t vcpus);

}  // namespace msb

#endif  // MSB_VMM_BOOT_MP_TABLE_H_
