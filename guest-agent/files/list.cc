// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stat and ListDirectory.

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/files/directory.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_info.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::Done;

// A directory on the way down, and which of its entries come next.
struct Level {
  UniqueFd directory;
  std::string path;
  std::vector<std::string> names;
  size_t next = 0;
};

absl::StatusOr<Level> EnterDirectory(UniqueFd directory, std::string path) {
  Level level{.directory = std::move(directory), .path = std::move(path)};
  MSB_ASSIGN_OR_RETURN(level.names, ReadNames(level.directory, level.path));
  return level;
}

class Lister {
 public:
  Lister(UserDatabase& users, FileChannel& channel, size_t depth)
      : info_(users), channel_(channel), depth_(std::min(depth, kMaxDirectoryDepth)) {}

  absl::StatusOr<Done> List(Level top) {
    levels_.push_back(std::move(top));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next == level.names.size()) {
        levels_.pop_back();
        continue;
      }
      MSB_RETURN_IF_ERROR(Visit(level, level.names[level.next++]));
    }
    return std::move(done_);
  }

 private:
  // May make `level` invalid by entering a directory.
  absl::Status Visit(const Level& level, const std::string& name) {
    struct stat status {};
    if (::fstatat(level.directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return absl::OkStatus();  // removed meanwhile
      return FileError("stat", Join(level.path, name));
    }
    AgentFrame frame;
    const std::string path = Join(level.path, name);
    *frame.mutable_file_info() = info_.Make(path, name, status);
    if (S_ISLNK(status.st_mode)) {
      frame.mutable_file_info()->set_symlink_target(ReadLink(level.directory.get(), name.c_str()));
    }
    MSB_RETURN_IF_ERROR(channel_.Send(frame));
    done_.set_entries(done_.entries() + 1);
    if (!S_ISDIR(status.st_mode) || levels_.size() >= depth_) return absl::OkStatus();
    auto below = OpenDirectory(level.directory.get(), name, LastSymlink::kRefuse, path);
    // What the user may not read is listed, not its inside.
    if (!below.ok()) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(Level entered, EnterDirectory(*std::move(below), path));
    levels_.push_back(std::move(entered));
    return absl::OkStatus();
  }

  FileInfoMaker info_;
  FileChannel& channel_;
  const size_t depth_;
  std::vector<Level> levels_;
  Done done_;
};

}  // namespace

absl::StatusOr<Done> RunStat(const agent::v1::Stat& request, UserDatabase& users,
                             FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  const char* const path = request.path().c_str();
  struct stat status {};
  const int result = request.follow_symlinks() ? ::stat(path, &status) : ::lstat(path, &status);
  if (result != 0) return FileError("stat", request.path());
  AgentFrame frame;
  *frame.mutable_file_info() =
      FileInfoMaker(users).Make(request.path(), Split(request.path()).name, status);
  if (S_ISLNK(status.st_mode)) {
    frame.mutable_file_info()->set_symlink_target(ReadLink(AT_FDCWD, path));
  }
  MSB_RETURN_IF_ERROR(channel.Send(frame));
  Done done;
  done.set_entries(1);
  return done;
}

absl::StatusOr<Done> RunListDirectory(const agent::v1::ListDirectory& request, UserDatabase& users,
                                      FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  MSB_ASSIGN_OR_RETURN(
      UniqueFd top, OpenDirectory(AT_FDCWD, request.path(), LastSymlink::kFollow, request.path()));
  std::string path = request.path();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  MSB_ASSIGN_OR_RETURN(Level level, EnterDirectory(std::move(top), std::move(path)));
  return Lister(users, channel, std::max<size_t>(request.depth(), 1)).List(std::move(level));
}

}  // namespace msb
