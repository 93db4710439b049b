// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whether a VmSpec (proto/msb/vmm/v1/vm_spec.proto) can be run.

#ifndef MSB_VMM_MACHINE_VM_SPEC_H_
#define MSB_VMM_MACHINE_VM_SPEC_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "msb/vmm/v1/vm_spec.pb.h"

namespace msb {

inline constexpr uint32_t kMinMemoryMib = 64;
inline constexpr uint32_t kMaxMemoryMib = 1048576;
inline constexpr size_t kMaxIdBytes = 64;
inline constexpr size_t kMaxDiskIdBytes = 20;  // the serial number field of virtio-blk
inline constexpr int kMaxDisks = 12;       // beside the other devices, within the interrupt lines
inline constexpr int kMaxDiskFiles = 128;  // that one disk is made of
inline constexpr int kMaxFileSystems = 4;
inline constexpr size_t kMaxFileSystemTagBytes = 36;  // the tag field of virtio-fs
inline constexpr size_t kMacBytes = 6;
inline constexpr uint32_t kMinMtu = 1280;
inline constexpr uint32_t kMaxMtu = 65520;
inline constexpr uint32_t kMinGuestCid = 3;
inline constexpr uint32_t kMaxGuestCid = 0xfffffffe;

// Checks every field, and that each descriptor is open and named once. kVmSpecInvalid, with the
// field's name and its range; kUnsupportedByEngine for more devices than the engine has places.
// Lengths of command_line are the machine's to check: it adds its own words.
absl::Status ValidateSpec(const msb::vmm::v1::VmSpec& spec);

}  // namespace msb

#endif  // MSB_VMM_MACHINE_VM_SPEC_H_
