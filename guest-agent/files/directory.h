// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads directories.

#ifndef MSB_GUEST_AGENT_FILES_DIRECTORY_H_
#define MSB_GUEST_AGENT_FILES_DIRECTORY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

// Entries of one directory that are held at once; more are kLimitExceeded.
inline constexpr size_t kMaxDirectoryEntries = 1u << 20;
// Levels below the top that a recursive operation goes down; each costs a descriptor.
inline constexpr size_t kMaxDirectoryDepth = 1024;

// The directory `name` below `parent_fd` (or a path, with AT_FDCWD), for reading. A symlink as its
// last component is followed only when asked.
enum class LastSymlink { kFollow, kRefuse };
absl::StatusOr<UniqueFd> OpenDirectory(int parent_fd, const std::string& name, LastSymlink symlink,
                                       absl::string_view path_for_errors);

// Names without "." and "..", sorted by their bytes.
absl::StatusOr<std::vector<std::string>> ReadNames(const UniqueFd& directory,
                                                   absl::string_view path_for_errors);

// Whether it lies on a file system that the kernel makes up (proc, sysfs, cgroup2, ...).
bool IsMadeUp(const UniqueFd& directory);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_DIRECTORY_H_
