// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The writable layer of a sandbox: a sparse copy of an empty ext4 file system.

#ifndef MSB_SUPERVISOR_SANDBOX_DISK_H_
#define MSB_SUPERVISOR_SANDBOX_DISK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace msb {

// Makes `path` (mode 0600) from `template_path` and gives it `size_bytes`. Shares the template's
// blocks where the host's file system can (reflink), else copies only its data and keeps its holes.
// Blocks. kAssetMissing without a template; kInvalidResources when `size_bytes` is less than the
// template has: a file system cannot be cut. On an error no file is left.
absl::Status MakeDisk(const std::string& template_path, const std::string& path,
                      uint64_t size_bytes);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_DISK_H_
