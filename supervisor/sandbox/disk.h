// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The writable layer of a sandbox: a sparse copy of an empty ext4 file system. The host never
// looks into it: the guest that writes it is hostile.

#ifndef MSB_SUPERVISOR_SANDBOX_DISK_H_
#define MSB_SUPERVISOR_SANDBOX_DISK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace msb {

// Makes `path` (mode 0600) with `size_bytes` (16 MiB or more) from the largest file system in the
// folder `templates` (<MiB>.ext4) that is not larger; the guest grows it to the disk's size when it
// boots. Shares the template's blocks where the host's file system can (reflink), else copies only
// its data and keeps its holes. Blocks. kAssetMissing without a template that fits. On an error no
// file is left.
absl::Status MakeDisk(const std::string& templates, const std::string& path, uint64_t size_bytes);

// Gives the disk `size_bytes` when it has less. Never makes it smaller: what is in it is the
// guest's.
absl::Status GrowDisk(const std::string& path, uint64_t size_bytes);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_DISK_H_
