// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// WriteFile.

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/temporary_name.h"
#include "base/unique_fd.h"
#include "guest-agent/files/bulk_writer.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_info.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"

namespace msb {
namespace {

using agent::v1::WriteFile;

constexpr uint32_t kDefaultMode = 0644;
constexpr uint32_t kModeBits = 07777;
constexpr uint32_t kParentMode = 0755;

// A new file beside `target` that takes its place, or goes with this object.
class Replacement {
 public:
  Replacement(std::string target, std::string path, UniqueFd fd)
      : target_(std::move(target)), path_(std::move(path)), fd_(std::move(fd)) {}
  Replacement(Replacement&& other) noexcept
      : target_(std::move(other.target_)),
        path_(std::exchange(other.path_, {})),
        fd_(std::move(other.fd_)) {}
  Replacement& operator=(Replacement&&) = delete;
  ~Replacement() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  int fd() const { return fd_.get(); }
  absl::Status Commit() {
    if (::rename(path_.c_str(), target_.c_str()) != 0) return FileError("replace", target_);
    path_.clear();
    return absl::OkStatus();
  }

 private:
  std::string target_;
  std::string path_;  // empty once it is in place
  UniqueFd fd_;
};

absl::StatusOr<Replacement> MakeReplacement(const std::string& target) {
  const SplitPath split = Split(target);
  while (true) {
    const std::string path = Join(split.directory, TemporaryName());
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd.valid()) return Replacement(target, path, std::move(fd));
    if (errno != EEXIST) return FileError("create a file beside", target);
  }
}

// The file that stands at the end of `path`'s symlinks; nullopt when there is none.
struct Existing {
  std::string path;
  struct stat status {};
};
absl::StatusOr<std::optional<Existing>> FindExisting(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return std::nullopt;
    return FileError("open", path);
  }
  Existing existing{.path = path};
  if (::fstat(fd.get(), &existing.status) != 0) return FileError("stat", path);
  struct stat link {};
  if (::lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode)) return existing;
  char target[kMaxPathBytes + 1];
  const ssize_t size =
      ::readlink(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), target, sizeof(target));
  if (size < 0) return FileError("follow", path);
  existing.path.assign(target, static_cast<size_t>(size));
  return existing;
}

// Whether the caller may write it, which replacing it does not ask. ETXTBSY: it is being executed,
// which replacing it does not disturb.
absl::Status CheckWritable(const Existing& existing) {
  const UniqueFd fd(::open(existing.path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.valid() || errno == ETXTBSY) return absl::OkStatus();
  return FileError("write", existing.path);
}

// For a FIFO or a device that takes nothing for now. Perhaps it never will, and whoever opened it
// in the file's place waits for that: the thread is not his longer than the host's.
class RoomWait {
 public:
  RoomWait(int fd, const std::string& path, FileChannel& channel)
      : fd_(fd), path_(path), channel_(channel) {}

  // Returns when a write is worth a try.
  absl::Status Wait() {
    if (!epoll_.valid()) MSB_RETURN_IF_ERROR(Begin());
    while (true) {
      epoll_event events[2];
      const int ready = ::epoll_wait(epoll_.get(), events, 2, -1);
      if (ready < 0 && errno != EINTR) return FileError("wait for room in", path_);
      bool room = false;
      for (int i = 0; i < ready; ++i) room |= events[i].data.fd == fd_;
      if (!channel_.HostListens()) {
        return MakeError(Reason::kFrameTruncated, "the host has gone before the end of its data");
      }
      if (room) return absl::OkStatus();
    }
  }

 private:
  absl::Status Begin() {
    UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event room{.events = EPOLLOUT, .data = {.fd = fd_}};
    // Each change of the connection once: a host that has said all shows no other event when it
    // goes altogether, and its data, of which no more is wanted now, shows none.
    epoll_event host{.events = EPOLLRDHUP | EPOLLET, .data = {.fd = channel_.poll_fd()}};
    if (!epoll.valid() || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, room.data.fd, &room) != 0 ||
        ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, host.data.fd, &host) != 0) {
      return FileError("wait for room in", path_);
    }
    epoll_ = std::move(epoll);
    return absl::OkStatus();
  }

  const int fd_;
  const std::string& path_;
  FileChannel& channel_;
  UniqueFd epoll_;  // once there is something to wait for
};

absl::Status SayOpened(FileChannel& channel) {
  agent::v1::AgentFrame opened;
  opened.mutable_opened()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  return channel.Send(opened);
}

absl::Status NoTreeEntry() {
  return MakeError(Reason::kAgentProtocol, "a tree entry for one file");
}

// A file that is ours until it is whole.
absl::StatusOr<agent::v1::Done> ReceiveNew(int fd, const std::string& path, FileChannel& channel) {
  MSB_RETURN_IF_ERROR(SayOpened(channel));
  agent::v1::Done done;
  BulkWriter writer(fd, path);
  while (true) {
    MSB_ASSIGN_OR_RETURN(const FileChannel::Input input, channel.ReceiveInto(writer.room()));
    if (input.kind == FileChannel::Input::Kind::kEnd) break;
    if (input.kind != FileChannel::Input::Kind::kData) return NoTreeEntry();
    const bool was_small = done.bytes() <= BulkWriter::kCachedBytes;
    done.set_bytes(done.bytes() + input.data.size());
    if (was_small && done.bytes() > BulkWriter::kCachedBytes) channel.ExpectMuch();
    MSB_RETURN_IF_ERROR(writer.Add(input.data.size()));
  }
  MSB_RETURN_IF_ERROR(writer.Finish());
  return done;
}

// Any file: a FIFO, a device, one that others see grow.
absl::StatusOr<agent::v1::Done> ReceiveInPlace(int fd, const std::string& path,
                                               FileChannel& channel) {
  MSB_RETURN_IF_ERROR(SayOpened(channel));
  agent::v1::Done done;
  RoomWait room(fd, path, channel);
  while (true) {
    MSB_ASSIGN_OR_RETURN(FileChannel::Input input, channel.Receive());
    if (input.kind == FileChannel::Input::Kind::kEnd) return done;
    if (input.kind != FileChannel::Input::Kind::kData) return NoTreeEntry();
    done.set_bytes(done.bytes() + input.data.size());
    while (!input.data.empty()) {
      const ssize_t written = ::write(fd, input.data.data(), input.data.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno == EAGAIN) {
        MSB_RETURN_IF_ERROR(room.Wait());
        continue;
      }
      if (written < 0) return FileError("write", path);
      input.data.remove_prefix(static_cast<size_t>(written));
    }
  }
}

absl::StatusOr<agent::v1::Done> WriteInPlace(const WriteFile& request, FileChannel& channel) {
  const int how = request.append() ? O_APPEND : O_TRUNC;
  const uint32_t mode = request.mode() == 0 ? kDefaultMode : request.mode() & kModeBits;
  // A FIFO that nobody reads is an error, not a wait for ever; one that is full is waited for.
  const UniqueFd file(::open(request.path().c_str(),
                             O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | how, mode));
  if (!file.valid()) return FileError("open", request.path());
  MSB_ASSIGN_OR_RETURN(const auto done, ReceiveInPlace(file.get(), request.path(), channel));
  struct stat status {};
  if (!request.append() && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    // Who may write a file of somebody else's may still not set its time.
    SetModificationTime(file.get(), request.mtime_ns(), request.path()).IgnoreError();
  }
  return done;
}

absl::StatusOr<agent::v1::Done> WriteNew(const WriteFile& request, FileChannel& channel) {
  MSB_ASSIGN_OR_RETURN(Replacement file, MakeReplacement(request.path()));
  const uint32_t mode = request.mode() == 0 ? kDefaultMode : request.mode() & kModeBits;
  MSB_ASSIGN_OR_RETURN(const auto done, ReceiveNew(file.fd(), request.path(), channel));
  if (::fchmod(file.fd(), mode) != 0) return FileError("set the mode of", request.path());
  MSB_RETURN_IF_ERROR(SetModificationTime(file.fd(), request.mtime_ns(), request.path()));
  MSB_RETURN_IF_ERROR(file.Commit());
  return done;
}

// The replacement keeps owner and mode. Where that cannot be (the directory is not writable, the
// owner is somebody else), the file is written in place, as any program of the user would.
absl::StatusOr<agent::v1::Done> Overwrite(const WriteFile& request, const Existing& existing,
                                          FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckWritable(existing));
  absl::StatusOr<Replacement> file = MakeReplacement(existing.path);
  if (!file.ok()) return WriteInPlace(request, channel);
  if (::fchown(file->fd(), existing.status.st_uid, existing.status.st_gid) != 0) {
    return WriteInPlace(request, channel);
  }
  MSB_ASSIGN_OR_RETURN(const auto done, ReceiveNew(file->fd(), existing.path, channel));
  if (::fchmod(file->fd(), existing.status.st_mode & kModeBits) != 0) {
    return FileError("set the mode of", existing.path);
  }
  MSB_RETURN_IF_ERROR(SetModificationTime(file->fd(), request.mtime_ns(), existing.path));
  MSB_RETURN_IF_ERROR(file->Commit());
  return done;
}

}  // namespace

absl::StatusOr<agent::v1::Done> RunWriteFile(const WriteFile& request, FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  if (request.path().back() == '/') return FileError("write", request.path(), EISDIR);
  if (request.make_parents()) {
    MSB_RETURN_IF_ERROR(MakeDirectories(request.path(), kParentMode, LastComponent::kLeave));
  }
  if (request.append()) return WriteInPlace(request, channel);
  MSB_ASSIGN_OR_RETURN(const std::optional<Existing> existing, FindExisting(request.path()));
  if (!existing) {
    struct stat link {};
    // A symlink to nothing: the system makes its target.
    if (::lstat(request.path().c_str(), &link) == 0) return WriteInPlace(request, channel);
    return WriteNew(request, channel);
  }
  if (S_ISDIR(existing->status.st_mode)) return FileError("write", request.path(), EISDIR);
  if (!S_ISREG(existing->status.st_mode)) return WriteInPlace(request, channel);
  return Overwrite(request, *existing, channel);
}

}  // namespace msb
