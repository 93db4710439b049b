// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// RemoveTree: a tree that a guest made may be deeper than there are descriptors or bytes in a path.
// So no path is ever built, and what lies too deep is moved up before it is emptied.

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "supervisor/store/data_directory.h"

namespace msb {
namespace {

// Descriptors that are held at the same time.
constexpr int kMaxDepth = 32;
// Names of what was moved up; no guest's, since those lie deeper.
constexpr absl::string_view kMovedPrefix = ".msb-deep-";

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

absl::StatusOr<Folder> OpenFolder(int parent, const char* name) {
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(name, [&] {
                         return ::openat(parent, name,
                                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                       }));
  UniqueFd fd(raw);
  DIR* const folder = ::fdopendir(fd.get());
  if (folder == nullptr) return absl::ErrnoToStatus(errno, name);
  [[maybe_unused]] const int owned = fd.Release();
  return Folder(folder, ::closedir);
}

class TreeRemover {
 public:
  explicit TreeRemover(int top) : top_(top) {}

  // Until a pass finds nothing that was moved up.
  absl::Status EmptyTop() {
    do {
      moved_ = false;
      MSB_RETURN_IF_ERROR(Empty(top_, ".", 0));
    } while (moved_);
    return absl::OkStatus();
  }

 private:
  absl::Status Empty(int parent, const char* name, int depth) {
    MSB_ASSIGN_OR_RETURN(const Folder folder, OpenFolder(parent, name));
    const int fd = ::dirfd(folder.get());
    while (true) {
      errno = 0;
      const dirent* const entry = ::readdir(folder.get());
      if (entry == nullptr && errno != 0) return absl::ErrnoToStatus(errno, "readdir");
      if (entry == nullptr) return absl::OkStatus();
      const absl::string_view child = entry->d_name;
      if (child == "." || child == "..") continue;
      MSB_RETURN_IF_ERROR(RemoveEntry(fd, entry->d_name, depth + 1));
    }
  }

  absl::Status RemoveEntry(int folder, const char* name, int depth) {
    if (::unlinkat(folder, name, 0) == 0) return absl::OkStatus();
    if (errno != EISDIR && errno != EPERM) return absl::ErrnoToStatus(errno, name);
    if (::unlinkat(folder, name, AT_REMOVEDIR) == 0) return absl::OkStatus();
    if (errno != ENOTEMPTY && errno != EEXIST) return absl::ErrnoToStatus(errno, name);
    if (depth > kMaxDepth) return MoveUp(folder, name);
    MSB_RETURN_IF_ERROR(Empty(folder, name, depth));
    return Syscall(name, [&] { return ::unlinkat(folder, name, AT_REMOVEDIR); }).status();
  }

  absl::Status MoveUp(int folder, const char* name) {
    moved_ = true;
    while (true) {
      const std::string place = absl::StrCat(kMovedPrefix, next_++);
      if (::renameat2(folder, name, top_, place.c_str(), RENAME_NOREPLACE) == 0) {
        return absl::OkStatus();
      }
      if (errno != EEXIST) return absl::ErrnoToStatus(errno, name);
    }
  }

  const int top_;
  bool moved_ = false;
  uint64_t next_ = 0;
};

absl::Status RemoveTreeNow(const std::string& path) {
  const int raw = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (raw < 0 && errno == ENOENT) return absl::OkStatus();
  if (raw < 0) return absl::ErrnoToStatus(errno, "open");
  const UniqueFd top(raw);
  MSB_RETURN_IF_ERROR(TreeRemover(top.get()).EmptyTop());
  return Syscall("rmdir", [&] { return ::rmdir(path.c_str()); }).status();
}

}  // namespace

absl::Status RemoveTree(const std::string& path) {
  const absl::Status removed = RemoveTreeNow(path);
  if (removed.ok()) return removed;
  return WithReason(Reason::kHostError, absl::StrCat("cannot delete ", path), removed);
}

}  // namespace msb
