// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The descriptor table and page tables for a processor that starts in 64-bit mode.

#ifndef MSB_VMM_BOOT_LONG_MODE_H_
#define MSB_VMM_BOOT_LONG_MODE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

// Selectors that the 64-bit boot protocol asks for: __BOOT_CS and __BOOT_DS.
inline constexpr uint16_t kBootCodeSelector = 0x10;
inline constexpr uint16_t kBootDataSelector = 0x18;
inline constexpr uint16_t kGdtLimit = 4 * 8 - 1;

// Writes the GDT (address_map::kGdt) and page tables that map the first GiB one to one, by pages of
// 2 MiB (address_map::kPageMapLevel4).
absl::Status WriteLongModeTables(const GuestMemory& memory);

}  // namespace msb

#endif  // MSB_VMM_BOOT_LONG_MODE_H_
