// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// MakeDirectory, Remove and Rename.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/files/directory.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"

namespace msb {
namespace {

using agent::v1::Done;

constexpr uint32_t kDefaultDirectoryMode = 0755;
// What the agent's umask takes from a mode at creation.
constexpr uint32_t kUmask = 0022;

Done Entries(uint64_t count) {
  Done done;
  done.set_entries(count);
  return done;
}

// A directory that is being emptied.
struct Level {
  UniqueFd directory;
  std::string name;  // in the level above
  std::vector<std::string> names;
  size_t next = 0;
};

// Removes everything below a directory, by descriptors only: whatever is renamed or replaced by a
// symlink meanwhile, nothing outside is touched.
class TreeRemover {
 public:
  explicit TreeRemover(std::string path) : path_(std::move(path)) {}

  absl::Status Empty(UniqueFd top) {
    MSB_RETURN_IF_ERROR(Enter(std::move(top), ""));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next < level.names.size()) {
        MSB_RETURN_IF_ERROR(RemoveEntry(level, level.names[level.next++]));
        continue;
      }
      const std::string name = std::move(level.name);
      levels_.pop_back();
      if (levels_.empty()) break;
      if (::unlinkat(levels_.back().directory.get(), name.c_str(), AT_REMOVEDIR) != 0 &&
          errno != ENOENT) {
        return FileError("remove", absl::StrCat(path_, "/.../", name));
      }
      ++removed_;
    }
    return absl::OkStatus();
  }
  uint64_t removed() const { return removed_; }

 private:
  absl::Status Enter(UniqueFd directory, std::string name) {
    if (levels_.size() >= kMaxDirectoryDepth) {
      return MakeError(Reason::kLimitExceeded,
                       absl::StrCat(path_, " is more than ", kMaxDirectoryDepth, " levels deep"));
    }
    Level level{.directory = std::move(directory), .name = std::move(name)};
    MSB_ASSIGN_OR_RETURN(level.names, ReadNames(level.directory, path_));
    levels_.push_back(std::move(level));
    return absl::OkStatus();
  }

  absl::Status RemoveEntry(const Level& level, const std::string& name) {
    if (::unlinkat(level.directory.get(), name.c_str(), 0) == 0) {
      ++removed_;
      return absl::OkStatus();
    }
    if (errno == ENOENT) return absl::OkStatus();
    if (errno != EISDIR) return FileError("remove", absl::StrCat(path_, "/.../", name));
    MSB_ASSIGN_OR_RETURN(UniqueFd below,
                         OpenDirectory(level.directory.get(), name, LastSymlink::kRefuse, path_));
    return Enter(std::move(below), name);
  }

  const std::string path_;
  std::vector<Level> levels_;
  uint64_t removed_ = 0;
};

}  // namespace

absl::StatusOr<Done> RunMakeDirectory(const agent::v1::MakeDirectory& request) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  const uint32_t mode = request.mode() == 0 ? kDefaultDirectoryMode : request.mode() & 07777;
  if (request.parents()) {
    MSB_RETURN_IF_ERROR(
        MakeDirectories(request.path(), kDefaultDirectoryMode, LastComponent::kLeave));
  }
  if (::mkdir(request.path().c_str(), mode) != 0) {
    const int error = errno;
    struct stat status {};
    const bool stands =
        error == EEXIST && ::stat(request.path().c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    if (request.parents() && stands) return Entries(0);
    return FileError("make directory", request.path(), error);
  }
  // mkdir applies the umask and drops setuid and setgid.
  if ((mode & (kUmask | 06000)) != 0 && ::chmod(request.path().c_str(), mode) != 0) {
    return FileError("set the mode of", request.path());
  }
  return Entries(1);
}

absl::StatusOr<Done> RunRemove(const agent::v1::Remove& request) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  const auto [directory, name] = Split(request.path());
  if (name.empty() || name == "." || name == "..") {
    return MakeError(Reason::kPathInvalid, absl::StrCat("\"", request.path(), "\" is not removed"));
  }
  const std::string path = Join(directory, name);
  if (::unlink(path.c_str()) == 0) return Entries(1);
  if (errno != EISDIR) return FileError("remove", path);
  uint64_t removed = 0;
  if (request.recursive()) {
    MSB_ASSIGN_OR_RETURN(UniqueFd top, OpenDirectory(AT_FDCWD, path, LastSymlink::kRefuse, path));
    TreeRemover remover(path);
    MSB_RETURN_IF_ERROR(remover.Empty(std::move(top)));
    removed = remover.removed();
  }
  if (::rmdir(path.c_str()) != 0) return FileError("remove", path);
  return Entries(removed + 1);
}

absl::StatusOr<Done> RunRename(const agent::v1::Rename& request) {
  MSB_RETURN_IF_ERROR(CheckPath(request.from()));
  MSB_RETURN_IF_ERROR(CheckPath(request.to()));
  const unsigned flags = request.no_replace() ? RENAME_NOREPLACE : 0;
  if (::renameat2(AT_FDCWD, request.from().c_str(), AT_FDCWD, request.to().c_str(), flags) != 0) {
    return FileError("rename", absl::StrCat(request.from(), " to ", request.to()));
  }
  return Entries(1);
}

}  // namespace msb
