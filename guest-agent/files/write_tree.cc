// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// WriteTree.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/sparse_writer.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/files/bulk_writer.h"
#include "guest-agent/files/directory.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_info.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"

namespace msb {
namespace {

using agent::v1::Done;
using agent::v1::FileType;
using agent::v1::TreeEntry;
using Input = FileChannel::Input;

constexpr uint32_t kModeBits = 07777;
constexpr uint32_t kParentMode = 0755;
// Directories whose mode and time are set at the end; more than that keep what they get at first.
constexpr size_t kMaxDeferred = 1u << 20;

class TreeWriter {
 public:
  TreeWriter(UniqueFd top, bool keep_owner, FileChannel& channel)
      : top_(std::move(top)), keep_owner_(keep_owner), channel_(channel) {}

  absl::StatusOr<Done> Write() {
    while (true) {
      MSB_ASSIGN_OR_RETURN(Input input, channel_.Receive());
      if (input.kind == Input::Kind::kEnd) break;
      if (input.kind != Input::Kind::kTreeEntry) {
        return MakeError(Reason::kAgentProtocol, "more data than its entry announced");
      }
      MSB_RETURN_IF_ERROR(WriteEntry(input.entry));
      done_.set_entries(done_.entries() + 1);
    }
    MSB_RETURN_IF_ERROR(FinishDirectories());
    return std::move(done_);
  }

 private:
  absl::Status WriteEntry(const TreeEntry& entry) {
    if (entry.path().empty()) {
      if (entry.type() != FileType::FILE_TYPE_DIRECTORY) {
        return MakeError(Reason::kPathInvalid, "the top of the tree is no directory");
      }
      return Defer(entry);
    }
    MSB_RETURN_IF_ERROR(CheckRelativePath(entry.path()));
    const size_t slash = entry.path().rfind('/');
    const std::string name = entry.path().substr(slash + 1);
    MSB_ASSIGN_OR_RETURN(
        const UniqueFd parent,
        OpenBelow(slash == std::string::npos ? "" : entry.path().substr(0, slash)));
    switch (entry.type()) {
      case FileType::FILE_TYPE_DIRECTORY:
        MSB_RETURN_IF_ERROR(MakeOne(parent.get(), name, entry.path()));
        return Defer(entry);
      case FileType::FILE_TYPE_SYMLINK:
        return WriteSymlink(parent.get(), name, entry);
      case FileType::FILE_TYPE_REGULAR:
        return WriteRegular(parent.get(), name, entry);
      default:
        return MakeError(Reason::kPathInvalid,
                         absl::StrCat(entry.path(), " is no file, directory or symlink"));
    }
  }

  // Opens a directory below the top, making what is missing. The kernel holds the walk below the
  // top and off symlinks, whatever is done to the tree meanwhile.
  absl::StatusOr<UniqueFd> OpenBelow(const std::string& path) {
    if (path.empty()) return UniqueFd(::fcntl(top_.get(), F_DUPFD_CLOEXEC, 3));
    UniqueFd fd = TryOpenBelow(path);
    if (!fd.valid() && errno == ENOENT) {
      for (size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
        const std::string prefix = path.substr(0, slash);
        const size_t last = prefix.rfind('/');
        const UniqueFd parent = last == std::string::npos
                                    ? UniqueFd(::fcntl(top_.get(), F_DUPFD_CLOEXEC, 3))
                                    : TryOpenBelow(prefix.substr(0, last));
        if (!parent.valid()) return FileError("open directory", prefix);
        MSB_RETURN_IF_ERROR(MakeOne(parent.get(), prefix.substr(last + 1), prefix));
        if (slash == std::string::npos) break;
      }
      fd = TryOpenBelow(path);
    }
    if (!fd.valid()) return FileError("open directory", path);
    return fd;
  }

  UniqueFd TryOpenBelow(const std::string& path) const {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return UniqueFd(
        static_cast<int>(::syscall(SYS_openat2, top_.get(), path.c_str(), &how, sizeof(how))));
  }

  static absl::Status MakeOne(int parent_fd, const std::string& name, const std::string& path) {
    if (::mkdirat(parent_fd, name.c_str(), kParentMode) == 0) return absl::OkStatus();
    const int error = errno;
    struct stat status {};
    if (error == EEXIST && ::fstatat(parent_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      if (S_ISDIR(status.st_mode)) return absl::OkStatus();
      return FileError("make directory", path, ENOTDIR);
    }
    return FileError("make directory", path, error);
  }

  // Neither a file's other names nor what a symlink points to may change: the old name goes.
  static absl::Status RemoveOld(int parent_fd, const std::string& name, const std::string& path) {
    if (::unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
    return FileError("replace", path);
  }

  absl::Status WriteSymlink(int parent_fd, const std::string& name, const TreeEntry& entry) {
    if (entry.symlink_target().find('\0') != std::string::npos) {
      return MakeError(Reason::kPathInvalid, "a symlink's target with NUL in it");
    }
    MSB_RETURN_IF_ERROR(RemoveOld(parent_fd, name, entry.path()));
    if (::symlinkat(entry.symlink_target().c_str(), parent_fd, name.c_str()) != 0) {
      return FileError("make symlink", entry.path());
    }
    if (keep_owner_ &&
        ::fchownat(parent_fd, name.c_str(), entry.uid(), entry.gid(), AT_SYMLINK_NOFOLLOW) != 0) {
      return FileError("set the owner of", entry.path());
    }
    const UniqueFd link(::openat(parent_fd, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    // Not every file system keeps times of symlinks.
    SetModificationTime(link.get(), entry.mtime_ns(), entry.path()).IgnoreError();
    return absl::OkStatus();
  }

  absl::Status WriteRegular(int parent_fd, const std::string& name, const TreeEntry& entry) {
    MSB_RETURN_IF_ERROR(RemoveOld(parent_fd, name, entry.path()));
    const UniqueFd file(::openat(parent_fd, name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid()) return FileError("create", entry.path());
    const absl::Status received = entry.size() > BulkWriter::kCachedBytes
                                      ? ReceiveLarge(file.get(), entry)
                                      : ReceiveSmall(file.get(), entry);
    if (!received.ok()) {
      ::unlinkat(parent_fd, name.c_str(), 0);  // what is not whole helps nobody
      return received;
    }
    return SetAttributes(file, entry);
  }

  absl::Status ReceiveSmall(int fd, const TreeEntry& entry) {
    SparseWriter writer(fd);
    for (uint64_t left = entry.size(); left > 0;) {
      MSB_ASSIGN_OR_RETURN(const Input input, channel_.Receive());
      MSB_RETURN_IF_ERROR(TakeContent(input, entry, left));
      if (!writer.Write(input.data)) return FileError("write", entry.path());
    }
    if (!writer.End()) return FileError("write", entry.path());
    return absl::OkStatus();
  }

  absl::Status ReceiveLarge(int fd, const TreeEntry& entry) {
    channel_.ExpectMuch();
    BulkWriter writer(fd, entry.path());
    for (uint64_t left = entry.size(); left > 0;) {
      MSB_ASSIGN_OR_RETURN(const Input input, channel_.ReceiveInto(writer.room()));
      MSB_RETURN_IF_ERROR(TakeContent(input, entry, left));
      MSB_RETURN_IF_ERROR(writer.Add(input.data.size()));
    }
    return writer.Finish();
  }

  // Counts what came of the `left` bytes that have to come.
  absl::Status TakeContent(const Input& input, const TreeEntry& entry, uint64_t& left) {
    if (input.kind != Input::Kind::kData || input.data.size() > left) {
      return MakeError(Reason::kAgentProtocol,
                       absl::StrCat(entry.path(), " has another size than announced"));
    }
    left -= input.data.size();
    done_.set_bytes(done_.bytes() + input.data.size());
    return absl::OkStatus();
  }

  absl::Status SetAttributes(const UniqueFd& file, const TreeEntry& entry) const {
    if (keep_owner_ && ::fchown(file.get(), entry.uid(), entry.gid()) != 0) {
      return FileError("set the owner of", entry.path());
    }
    // Behind the owner, whose change clears setuid.
    if (::fchmod(file.get(), entry.mode() & kModeBits) != 0) {
      return FileError("set the mode of", entry.path());
    }
    return SetModificationTime(file.get(), entry.mtime_ns(), entry.path());
  }

  // A directory that may not be written, or whose time would change with each entry, gets its
  // attributes once everything is in it.
  absl::Status Defer(const TreeEntry& entry) {
    if (deferred_.size() >= kMaxDeferred) {
      return MakeError(Reason::kLimitExceeded,
                       absl::StrCat("a tree of more than ", kMaxDeferred, " directories"));
    }
    deferred_.push_back(entry);
    return absl::OkStatus();
  }

  absl::Status FinishDirectories() {
    // The deepest first: what is above may close itself against what is below.
    for (auto entry = deferred_.rbegin(); entry != deferred_.rend(); ++entry) {
      MSB_ASSIGN_OR_RETURN(const UniqueFd directory, OpenBelow(entry->path()));
      MSB_RETURN_IF_ERROR(SetAttributes(directory, *entry));
    }
    return absl::OkStatus();
  }

  const UniqueFd top_;
  const bool keep_owner_;
  FileChannel& channel_;
  std::vector<TreeEntry> deferred_;
  Done done_;
};

}  // namespace

absl::StatusOr<Done> RunWriteTree(const agent::v1::WriteTree& request, FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  MSB_RETURN_IF_ERROR(MakeDirectories(request.path(), kParentMode, LastComponent::kMake));
  MSB_ASSIGN_OR_RETURN(
      UniqueFd top, OpenDirectory(AT_FDCWD, request.path(), LastSymlink::kFollow, request.path()));
  agent::v1::AgentFrame opened;
  opened.mutable_opened()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  MSB_RETURN_IF_ERROR(channel.Send(opened));
  return TreeWriter(std::move(top), request.keep_owner(), channel).Write();
}

}  // namespace msb
