// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "guest-agent/files/file_error.h"

namespace msb {

absl::StatusOr<UniqueFd> OpenDirectory(int parent_fd, const std::string& name, LastSymlink symlink,
                                       absl::string_view path_for_errors) {
  const int follow = symlink == LastSymlink::kRefuse ? O_NOFOLLOW : 0;
  UniqueFd fd(::openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow));
  if (!fd.valid()) return FileError("open directory", path_for_errors);
  return fd;
}

absl::StatusOr<std::vector<std::string>> ReadNames(const UniqueFd& directory,
                                                   absl::string_view path_for_errors) {
  // readdir takes a descriptor away from its owner: it gets one of its own, with its own position.
  const int own = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return FileError("read directory", path_for_errors);
  DIR* const stream = ::fdopendir(own);
  if (stream == nullptr) {
    ::close(own);
    return FileError("read directory", path_for_errors, ENOMEM);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const absl::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    names.emplace_back(name);
    if (names.size() > kMaxDirectoryEntries) break;
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (names.size() > kMaxDirectoryEntries) {
    return MakeError(Reason::kLimitExceeded, absl::StrCat(path_for_errors, " has more than ",
                                                          kMaxDirectoryEntries, " entries"));
  }
  if (error != 0) return FileError("read directory", path_for_errors, error);
  std::sort(names.begin(), names.end());
  return names;
}

bool IsMadeUp(const UniqueFd& directory) {
  struct statfs file_system {};
  if (::fstatfs(directory.get(), &file_system) != 0) return false;
  switch (file_system.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case BPF_FS_MAGIC:
      return true;
    default:
      return false;
  }
}

}  // namespace msb
