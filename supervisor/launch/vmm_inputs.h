// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a VMM is given: descriptors with fixed numbers, and the VmSpec that names them.

#ifndef MSB_SUPERVISOR_LAUNCH_VMM_INPUTS_H_
#define MSB_SUPERVISOR_LAUNCH_VMM_INPUTS_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/launcher.h"
#include "supervisor/launch/runtime_files.h"

namespace msb {

// Numbers in the VMM process; 0 is /dev/null, 1 and 2 are the VMM's log.
inline constexpr int kSpecFd = 3;
inline constexpr int kControlFd = 4;
inline constexpr int kVsockFd = 5;
inline constexpr int kConsoleFd = 6;
inline constexpr int kExitEventFd = 7;
inline constexpr int kKernelFd = 8;
inline constexpr int kInitramfsFd = 9;
inline constexpr int kKvmFd = 10;   // engine kvm alone
inline constexpr int kLinkFd = 11;  // with a network alone
inline constexpr int kSnapshotMemoryFd = 12;
inline constexpr int kSnapshotStateFd = 13;
inline constexpr int kFirstDiskFd = 16;
inline constexpr size_t kMaxDisks = 12;
inline constexpr size_t kMaxLayers = 128;  // files of all disks, beside the first of each
// Beyond the numbers of the jailer's own (jailer_command.h).
inline constexpr int kFirstCompanionFd = 48;
inline constexpr size_t kMaxCompanions = 32;

// Files that continue a disk, in the disks' order.
inline constexpr int kFirstMoreFd = 96;

constexpr int VmmFdOfCompanion(size_t index) { return kFirstCompanionFd + static_cast<int>(index); }

// Where the jail of the engine qemu has QEMU's folder.
inline constexpr char kQemuDirectoryInJail[] = "/qemu";

struct VmmInputs {
  // Number in the VMM process -> descriptor here.
  std::map<int, UniqueFd> fds;
  // The largest of the disks that can be written to.
  uint64_t largest_disk_bytes = 0;
  // Of the files of the first disk, the image's.
  std::vector<uint64_t> layer_bytes;
};

// kInvalidArgument, kInvalidResources or kUnsupportedByEngine when no VMM could run this.
absl::Status CheckLaunchSpec(const LaunchSpec& spec);

// Opens kernel, initramfs (which all users must be able to read), disks and /dev/kvm. A disk is
// locked (flock) as long as a VMM has it: read-only ones against writers, a writable one against
// all. kAssetMissing, kKvmUnavailable, kHostError for a disk that is in use or cannot be opened,
// kImageInvalid for a layer whose end no other can follow.
absl::StatusOr<VmmInputs> OpenVmmInputs(const LaunchSpec& spec, const LaunchPlan& plan,
                                        const LaunchOptions& options, RuntimeFiles files);

// The message that OpenVmmInputs passes as kSpecFd. `layer_bytes`: as in VmmInputs.
msb::vmm::v1::VmSpec MakeVmSpec(const LaunchSpec& spec, const LaunchPlan& plan,
                                const LaunchOptions& options,
                                const std::vector<uint64_t>& layer_bytes);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_VMM_INPUTS_H_
