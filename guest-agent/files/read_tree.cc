// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// ReadTree.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/unsized_file.h"
#include "guest-agent/files/bulk_reader.h"
#include "guest-agent/files/directory.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_info.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::Done;

struct Level {
  UniqueFd directory;
  std::string path;  // relative to the top, empty for the top itself
  std::vector<std::string> names;
  size_t next = 0;
};

class TreeReader {
 public:
  explicit TreeReader(FileChannel& channel) : channel_(channel) {}

  absl::StatusOr<Done> Read(int parent_fd, const std::string& name) {
    MSB_RETURN_IF_ERROR(Visit(parent_fd, name, ""));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next == level.names.size()) {
        levels_.pop_back();
        continue;
      }
      const std::string& entry = level.names[level.next++];
      const std::string path = level.path.empty() ? entry : absl::StrCat(level.path, "/", entry);
      const absl::Status visited = Visit(level.directory.get(), entry, path);
      // Removed meanwhile, before it was announced.
      if (ReasonOf(visited) != Reason::kFileNotFound) MSB_RETURN_IF_ERROR(visited);
    }
    return std::move(done_);
  }

 private:
  absl::Status Visit(int parent_fd, const std::string& name, const std::string& path) {
    struct stat status {};
    if (::fstatat(parent_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return FileError("stat", path);
    }
    if (S_ISREG(status.st_mode)) return SendFile(parent_fd, name, path);
    if (S_ISDIR(status.st_mode)) return SendDirectory(parent_fd, name, path);
    if (!S_ISLNK(status.st_mode)) return absl::OkStatus();
    agent::v1::TreeEntry entry = Describe(path, status);
    entry.set_symlink_target(ReadLink(parent_fd, name.c_str()));
    return Announce(std::move(entry));
  }

  absl::Status SendDirectory(int parent_fd, const std::string& name, const std::string& path) {
    if (levels_.size() >= kMaxDirectoryDepth) {
      return MakeError(Reason::kLimitExceeded,
                       absl::StrCat("the tree is more than ", kMaxDirectoryDepth, " levels deep"));
    }
    Level level{.path = path};
    MSB_ASSIGN_OR_RETURN(level.directory,
                         OpenDirectory(parent_fd, name, LastSymlink::kRefuse, path));
    struct stat status {};
    if (::fstat(level.directory.get(), &status) != 0) return FileError("stat", path);
    MSB_RETURN_IF_ERROR(Announce(Describe(path, status)));
    // proc and its like have files without end; a tree that holds such a mount goes without its
    // inside, and one that begins there is its first level.
    const bool is_made_up = IsMadeUp(level.directory);
    if (path.empty()) is_made_up_ = is_made_up;
    if (!path.empty() && is_made_up) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(level.names, ReadNames(level.directory, path));
    levels_.push_back(std::move(level));
    return absl::OkStatus();
  }

  absl::Status SendFile(int parent_fd, const std::string& name, const std::string& path) {
    const UniqueFd file(
        ::openat(parent_fd, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file.valid()) return FileError("open", path);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return FileError("stat", path);
    if (!S_ISREG(status.st_mode)) return absl::OkStatus();
    if (path.empty()) is_made_up_ = IsMadeUp(file);
    agent::v1::TreeEntry entry = Describe(path, status);
    if (status.st_size == 0 || is_made_up_) return SendUnsized(file, std::move(entry));
    uint64_t left = static_cast<uint64_t>(status.st_size);
    entry.set_size(left);
    MSB_RETURN_IF_ERROR(Announce(std::move(entry)));
    BulkReader reader(file.get(), path, left);
    while (left > 0) {
      MSB_ASSIGN_OR_RETURN(const absl::string_view data,
                           reader.Next(std::min<uint64_t>(left, kMaxDataBytes)));
      if (data.empty()) {
        return MakeError(Reason::kFileError,
                         absl::StrCat(path, " became shorter while it was read"));
      }
      MSB_RETURN_IF_ERROR(channel_.SendData(data));
      left -= data.size();
      done_.set_bytes(done_.bytes() + data.size());
    }
    return absl::OkStatus();
  }

  absl::Status SendUnsized(const UniqueFd& file, agent::v1::TreeEntry entry) {
    const std::string path = entry.path();
    const std::optional<std::string> content = ReadUnsized(file.get());
    if (!content && errno == EFBIG) {
      return MakeError(Reason::kLimitExceeded,
                       absl::StrCat(path.empty() ? "the file" : path, " ", kUnsizedIsTooLarge));
    }
    if (!content) return FileError("read", path);
    entry.set_size(content->size());
    MSB_RETURN_IF_ERROR(Announce(std::move(entry)));
    for (size_t at = 0; at < content->size(); at += kMaxDataBytes) {
      MSB_RETURN_IF_ERROR(channel_.SendData(absl::string_view(*content).substr(at, kMaxDataBytes)));
    }
    done_.set_bytes(done_.bytes() + content->size());
    return absl::OkStatus();
  }

  static agent::v1::TreeEntry Describe(const std::string& path, const struct stat& status) {
    agent::v1::TreeEntry entry;
    entry.set_path(path);
    entry.set_type(FileTypeOf(status.st_mode));
    entry.set_mode(status.st_mode & 07777);
    entry.set_uid(status.st_uid);
    entry.set_gid(status.st_gid);
    entry.set_mtime_ns(ModificationTime(status));
    return entry;
  }

  absl::Status Announce(agent::v1::TreeEntry entry) {
    AgentFrame frame;
    *frame.mutable_tree_entry() = std::move(entry);
    done_.set_entries(done_.entries() + 1);
    return channel_.Send(frame);
  }

  FileChannel& channel_;
  bool is_made_up_ = false;  // the top, and then all that is sent
  std::vector<Level> levels_;
  Done done_;
};

}  // namespace

absl::StatusOr<Done> RunReadTree(const agent::v1::ReadTree& request, FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  std::string path = request.path();
  if (request.follow_top_symlink()) {
    const UniqueFd top(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!top.valid()) return FileError("open", path);
    path = ReadLink(AT_FDCWD, absl::StrCat("/proc/self/fd/", top.get()).c_str());
    if (path.empty()) return FileError("follow", request.path());
  }
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return TreeReader(channel).Read(AT_FDCWD, path);
}

}  // namespace msb
