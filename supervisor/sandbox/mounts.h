// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The mounts of a sandbox: what a client may ask for, and how host and guest name each of them.
// Pure.

#ifndef MSB_SUPERVISOR_SANDBOX_MOUNTS_H_
#define MSB_SUPERVISOR_SANDBOX_MOUNTS_H_

#include <string>

#include "absl/status/status.h"
#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/sandbox/caller.h"

namespace msb {

// kPathInvalid, kInvalidArgument, kInvalidName, kInvalidResources, kLimitExceeded.
absl::Status ValidateMounts(const msb::v1::SandboxSpec& spec);

// Whether `caller` may have this mount of the host: kPermissionDenied, kInvalidArgument.
absl::Status CheckHostMount(const Caller& caller, const MountsConfig& config,
                            const msb::v1::HostMount& mount);

// Its quota where it names none and may have one. `mount` knows the kind of its volume; a disk with
// a quota: kInvalidArgument.
absl::Status CompleteQuota(const MountsConfig& config, msb::v1::Mount& mount);

// Empties the paths of the host in `view`, unless `caller` is the user who gave them, known by the
// kernel and not by a token.
void HideHostPaths(const Caller& caller, msb::v1::Sandbox& view);

// What the guest mounts to find all that a file server serves.
inline constexpr char kFileSystemTag[] = "msb";
// Whether a file server serves it, and not a disk or the guest's memory.
bool IsServed(const msb::v1::Mount& mount);

// What the guest reads as the serial of the disk behind the mount of this index.
std::string DiskSerialOf(int mount_index);

msb::agent::v1::MountAll MountRequestOf(const msb::v1::SandboxSpec& spec);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_MOUNTS_H_
