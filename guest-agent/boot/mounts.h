// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the host wants the guest to see beside its image.

#ifndef MSB_GUEST_AGENT_BOOT_MOUNTS_H_
#define MSB_GUEST_AGENT_BOOT_MOUNTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// In their order; ends at the first that fails, with what to call it: kSandboxStartFailed, or
// kPathInvalid for a path that cannot be mounted on.
absl::Status MountAll(const agent::v1::MountAll& request);

// "/dev/vdc" of the virtio-blk device with this serial, found below `sys_block` (/sys/block).
absl::StatusOr<std::string> DiskWithSerial(const std::string& sys_block, absl::string_view serial);

// Makes the directories of an absolute path, where they are missing, with mode 0755. kPathInvalid
// for one that is not absolute, or where something else is in the way.
absl::Status MakeDirectories(const std::string& path);
// Makes an empty file, and the directories above it, where there is nothing. kPathInvalid where a
// directory is in the way.
absl::Status MakeFile(const std::string& path);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_MOUNTS_H_
