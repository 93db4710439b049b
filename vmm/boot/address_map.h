// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Where everything stands in the guest-physical address space of our own (KVM) machine. Values
// only.
//
//   0x0000'0500  GDT of the first instruction         \.
//   0x0000'7000  zero page (boot_params)                | overwritten by the guest at will
//   0x0000'8000  stack of the first instruction, down   | once it has tables of its own
//   0x0000'9000  page tables (PML4, PDPT, PD)           |
//   0x0002'0000  kernel command line                   /
//   0x0009'fc00  MP table, reserved in the e820 map
//   0x0010'0000  RAM, up to 3 GiB; the kernel where its ELF header says, the initramfs at the end
//   0xc000'0000  hole without RAM, up to 4 GiB
//   0xd000'0000  virtio-mmio windows
//   0x1'0000'0000  the rest of the RAM

#ifndef MSB_VMM_BOOT_ADDRESS_MAP_H_
#define MSB_VMM_BOOT_ADDRESS_MAP_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "vmm/memory/guest_address.h"

namespace msb::address_map {

inline constexpr uint64_t kMebibyte = 1u << 20;

inline constexpr GuestAddress kGdt{0x500};
inline constexpr GuestAddress kZeroPage{0x7000};
inline constexpr uint64_t kBootStackTop = 0x8ff0;
inline constexpr GuestAddress kPageMapLevel4{0x9000};
inline constexpr GuestAddress kPageDirectoryPointers{0xa000};
inline constexpr GuestAddress kPageDirectory{0xb000};
inline constexpr GuestAddress kCommandLine{0x20000};
// The last KiB of base memory, one of the places where Linux looks for it.
inline constexpr GuestAddress kMpTable{0x9fc00};
inline constexpr uint64_t kMpTableBytes = 0x400;
inline constexpr uint64_t kBaseMemoryEnd = 0x9fc00;
inline constexpr uint64_t kHighMemoryStart = 0x100000;

// What the page tables of the first instruction map one to one: kernel, zero page and command line
// must lie below.
inline constexpr uint64_t kIdentityMappedBytes = 1u << 30;

inline constexpr uint64_t kHoleStart = 0xc000'0000;
inline constexpr uint64_t kHoleEnd = 0x1'0000'0000;
inline constexpr uint64_t kVirtioMmioStart = 0xd000'0000;
inline constexpr uint64_t kVirtioMmioBytes = 0x1000;  // of one device's window
inline constexpr uint32_t kIoApic = 0xfec0'0000;
inline constexpr uint32_t kLocalApic = 0xfee0'0000;
inline constexpr uint64_t kIdentityMap = 0xfffb'c000;       // one page, KVM's own
inline constexpr uint64_t kTaskStateSegment = 0xfffb'd000;  // three pages, KVM's own

// Interrupt lines. 0 is the timer, 2 the cascade of the two PICs, 8 the real-time clock.
inline constexpr uint32_t kSerialInterrupt = 4;
inline constexpr uint32_t kVirtioInterrupts[] = {5,  6,  7,  9,  10, 11, 12, 13, 14,
                                                 15, 16, 17, 18, 19, 20, 21, 22, 23};
inline constexpr uint32_t kIoApicPins = 24;

// I/O ports.
inline constexpr uint16_t kSerialPort = 0x3f8;  // 8 ports
inline constexpr uint16_t kCmosPort = 0x70;     // 2 ports
inline constexpr uint16_t kResetPort = 0x64;    // of the keyboard controller
inline constexpr uint16_t kBootMarkPort = 0x500;

// The RAM of a machine with `memory_mib`.
inline std::vector<GuestRange> RamRanges(uint32_t memory_mib) {
  const uint64_t total = memory_mib * kMebibyte;
  const uint64_t low = std::min(total, kHoleStart);
  std::vector<GuestRange> ranges{{GuestAddress{0}, low}};
  if (total > low) ranges.push_back({GuestAddress{kHoleEnd}, total - low});
  return ranges;
}

}  // namespace msb::address_map

#endif  // MSB_VMM_BOOT_ADDRESS_MAP_H_
