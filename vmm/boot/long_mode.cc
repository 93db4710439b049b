// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/long_mode.h"

#include <array>

#include "base/status_macros.h"
#include "vmm/boot/address_map.h"

namespace msb {
namespace {

// Segment descriptors (Intel SDM volume 3, 3.4.5): flat, present, ring 0, accessed.
constexpr uint64_t kCodeDescriptor = 0x00af9b000000ffff;  // execute and read, 64-bit
constexpr uint64_t kDataDescriptor = 0x00cf93000000ffff;  // read and write

// Page table entries (4.5).
constexpr uint64_t kPresentAndWritable = 0x3;
constexpr uint64_t kLargePage = 0x80;
constexpr uint64_t kLargePageBytes = 2u << 20;
constexpr size_t kEntries = 512;
static_assert(kEntries * kLargePageBytes == address_map::kIdentityMappedBytes);

}  // namespace

absl::Status WriteLongModeTables(const GuestMemory& memory) {
  const std::array<uint64_t, 4> gdt = {0, 0, kCodeDescriptor, kDataDescriptor};
  static_assert(sizeof(gdt) == kGdtLimit + 1);
  MSB_RETURN_IF_ERROR(memory.Store(address_map::kGdt, gdt));

  MSB_RETURN_IF_ERROR(
      memory.Store(address_map::kPageMapLevel4,
                   ToUint64(address_map::kPageDirectoryPointers) | kPresentAndWritable));
  MSB_RETURN_IF_ERROR(memory.Store(address_map::kPageDirectoryPointers,
                                   ToUint64(address_map::kPageDirectory) | kPresentAndWritable));
  std::array<uint64_t, kEntries> directory;
  for (size_t i = 0; i < kEntries; ++i) {
    directory[i] = i * kLargePageBytes | kPresentAndWritable | kLargePage;
  }
  return memory.Store(address_map::kPageDirectory, directory);
}

}  // namespace msb
