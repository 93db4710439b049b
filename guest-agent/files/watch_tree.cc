// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/watch_tree.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/errno_status.h"
#include "guest-agent/files/directory.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/path.h"

namespace msb {
namespace {

using agent::v1::WatchEvent;

constexpr uint32_t kMask = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM |
                           IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr size_t kReadBytes = 16 * 1024;
// Of the kernel's events, until these are sent: whoever makes them as quickly as they are read
// fills the kernel's queue (which then says so, KIND_OVERFLOW) and not our memory.
constexpr size_t kMaxBytesAtOnce = 128 * 1024;

WatchEvent MakeEvent(WatchEvent::Kind kind, const std::string& path, bool is_directory) {
  WatchEvent event;
  event.set_kind(kind);
  event.set_path(path);
  event.set_is_directory(is_directory);
  return event;
}

// A program that writes in small pieces makes an event for each: one of a row is enough.
void Push(WatchEvent event, std::vector<WatchEvent>& out) {
  if (!out.empty() && event.kind() == WatchEvent::KIND_MODIFIED &&
      out.back().kind() == WatchEvent::KIND_MODIFIED && out.back().path() == event.path()) {
    return;
  }
  out.push_back(std::move(event));
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path == directory || absl::StartsWith(path, absl::StrCat(directory, "/"));
}

}  // namespace

absl::StatusOr<WatchTree> WatchTree::Open(const std::string& path, WatchDepth depth) {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) {
    return ErrnoError(Reason::kLimitExceeded, "the user has no more inotify instances", errno);
  }
  WatchTree tree(std::move(inotify), depth);
  tree.top_ = path;
  while (tree.top_.size() > 1 && tree.top_.back() == '/') tree.top_.pop_back();
  MSB_RETURN_IF_ERROR(tree.Add(tree.top_));
  if (depth == WatchDepth::kAll) MSB_RETURN_IF_ERROR(tree.AddBelow(tree.top_, nullptr));
  return tree;
}

absl::Status WatchTree::Add(const std::string& path) {
  // Below the top no symlink is followed: what it points to is not part of the tree.
  const uint32_t no_follow = path == top_ ? 0 : IN_DONT_FOLLOW | IN_ONLYDIR;
  const int watch = ::inotify_add_watch(inotify_.get(), path.c_str(), kMask | no_follow);
  if (watch < 0 && errno == ENOSPC) {
    return ErrnoError(Reason::kLimitExceeded, "the user has no more inotify watches", errno);
  }
  if (watch < 0) return FileError("watch", path);
  paths_[watch] = path;
  return absl::OkStatus();
}

absl::Status WatchTree::AddBelow(const std::string& top, std::vector<WatchEvent>* found) {
  std::vector<std::string> directories = {top};
  while (!directories.empty()) {
    const std::string path = std::move(directories.back());
    directories.pop_back();
    const auto directory = OpenDirectory(
        AT_FDCWD, path, path == top_ ? LastSymlink::kFollow : LastSymlink::kRefuse, path);
    // It is a file, has gone meanwhile, or is not for this user to read.
    if (!directory.ok() || IsMadeUp(*directory)) continue;
    const auto names = ReadNames(*directory, path);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      struct stat status {};
      if (::fstatat(directory->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      const std::string below = Join(path, name);
      const bool is_directory = S_ISDIR(status.st_mode);
      if (found != nullptr) Push(MakeEvent(WatchEvent::KIND_CREATED, below, is_directory), *found);
      if (!is_directory) continue;
      const absl::Status added = Add(below);
      if (ReasonOf(added) == Reason::kLimitExceeded) return added;
      if (added.ok()) directories.push_back(below);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WatchEvent>> WatchTree::Read(Settled settled) {
  std::vector<WatchEvent> events;
  alignas(inotify_event) char buffer[kReadBytes];
  for (size_t taken = 0; taken < kMaxBytesAtOnce;) {
    const ssize_t got = ::read(inotify_.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) return FileError("watch", top_);
    taken += static_cast<size_t>(got);
    for (const char* at = buffer; at < buffer + got;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(at);
      MSB_RETURN_IF_ERROR(OnEvent(event, events));
      at += sizeof(inotify_event) + event.len;
    }
    if (static_cast<size_t>(got) < sizeof(buffer) / 2) break;
  }
  if (settled == Settled::kYes) SettleMove(events);
  return events;
}

absl::Status WatchTree::OnEvent(const inotify_event& event, std::vector<WatchEvent>& out) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    moved_ = {};
    Push(MakeEvent(WatchEvent::KIND_OVERFLOW, top_, true), out);
    // Directories may have come unseen.
    return depth_ == WatchDepth::kAll ? AddBelow(top_, nullptr) : absl::OkStatus();
  }
  const auto it = paths_.find(event.wd);
  if (it == paths_.end()) return absl::OkStatus();
  const std::string directory = it->second;
  if ((event.mask & IN_IGNORED) != 0) {
    paths_.erase(it);
    return absl::OkStatus();
  }
  const bool is_directory = (event.mask & IN_ISDIR) != 0;
  // The kernel pads the name with NULs.
  const std::string path =
      event.len > 0 ? Join(directory, std::string(event.name, ::strnlen(event.name, event.len)))
                    : directory;
  const bool other_half = (event.mask & IN_MOVED_TO) != 0 && event.cookie == moved_.cookie;
  if (!other_half) SettleMove(out);
  if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    // Below the top the directory above tells the same.
    if (directory == top_) Push(MakeEvent(WatchEvent::KIND_REMOVED, top_, is_directory), out);
  } else if ((event.mask & IN_MOVED_FROM) != 0) {
    moved_ = {.cookie = event.cookie, .path = path, .is_directory = is_directory};
  } else if (other_half) {
    WatchEvent renamed = MakeEvent(WatchEvent::KIND_RENAMED, moved_.path, is_directory);
    renamed.set_new_path(path);
    if (is_directory) RenameBelow(moved_.path, path);
    moved_ = {};
    Push(std::move(renamed), out);
  } else if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
    Push(MakeEvent(WatchEvent::KIND_CREATED, path, is_directory), out);
    if (is_directory && depth_ == WatchDepth::kAll) {
      // What was made in it before the watch stood is told now; some of it may be told twice.
      const absl::Status added = Add(path);
      if (ReasonOf(added) == Reason::kLimitExceeded) return added;
      return AddBelow(path, &out);
    }
  } else if ((event.mask & IN_DELETE) != 0) {
    Push(MakeEvent(WatchEvent::KIND_REMOVED, path, is_directory), out);
  } else if ((event.mask & (IN_MODIFY | IN_CLOSE_WRITE)) != 0) {
    Push(MakeEvent(WatchEvent::KIND_MODIFIED, path, is_directory), out);
  } else if ((event.mask & IN_ATTRIB) != 0) {
    // A directory reports its own change, and the one above does too: once is enough.
    if (event.len > 0 || directory == top_) {
      Push(MakeEvent(WatchEvent::KIND_ATTRIBUTES, path, is_directory), out);
    }
  }
  return absl::OkStatus();
}

// What moved away and did not come back is gone, as far as this watch goes.
void WatchTree::SettleMove(std::vector<WatchEvent>& out) {
  if (moved_.cookie == 0) return;
  Push(MakeEvent(WatchEvent::KIND_REMOVED, moved_.path, moved_.is_directory), out);
  if (moved_.is_directory) Forget(moved_.path);
  moved_ = {};
}

void WatchTree::Forget(const std::string& path) {
  for (auto it = paths_.begin(); it != paths_.end();) {
    const auto here = it++;
    if (!IsBelow(here->second, path)) continue;
    ::inotify_rm_watch(inotify_.get(), here->first);
    paths_.erase(here);
  }
}

void WatchTree::RenameBelow(const std::string& from, const std::string& to) {
  for (auto& [watch, path] : paths_) {
    if (IsBelow(path, from)) path = absl::StrCat(to, path.substr(from.size()));
  }
}

}  // namespace msb
