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

namespace msb {

// kPathInvalid, kInvalidArgument, kInvalidName, kLimitExceeded.
absl::Status ValidateMounts(const msb::v1::SandboxSpec& spec);

// What the guest reads as the serial of the disk behind the mount of this index.
std::string DiskSerialOf(int mount_index);

msb::agent::v1::MountAll MountRequestOf(const msb::v1::SandboxSpec& spec);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_MOUNTS_H_
