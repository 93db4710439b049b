// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// inotify for a path, and for everything below it when asked: turns the kernel's events into ours.

#ifndef MSB_GUEST_AGENT_FILES_WATCH_TREE_H_
#define MSB_GUEST_AGENT_FILES_WATCH_TREE_H_

#include <sys/inotify.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

enum class WatchDepth { kOne, kAll };

class WatchTree {
 public:
  // kFileNotFound and others of the path; kLimitExceeded when the user has no more inotify watches.
  static absl::StatusOr<WatchTree> Open(const std::string& path, WatchDepth depth);
  WatchTree(WatchTree&&) = default;
  WatchTree& operator=(WatchTree&&) = default;

  // Readable when there are events; non-blocking.
  int fd() const { return inotify_.get(); }

  // The events at hand, or the first of very many. `settled`: no more followed for a while, so that
  // half of a rename stands alone.
  enum class Settled { kNo, kYes };
  absl::StatusOr<std::vector<agent::v1::WatchEvent>> Read(Settled settled);
  // Whether half of a rename waits for the other.
  bool pending() const { return moved_.cookie != 0; }

 private:
  struct MovedFrom {
    uint32_t cookie = 0;
    std::string path;
    bool is_directory = false;
  };

  WatchTree(UniqueFd inotify, WatchDepth depth) : inotify_(std::move(inotify)), depth_(depth) {}
  absl::Status Add(const std::string& path);
  // Watches `path` and what is below it; `found` gets what stood there already, unless null.
  absl::Status AddBelow(const std::string& path, std::vector<agent::v1::WatchEvent>* found);
  absl::Status OnEvent(const inotify_event& event, std::vector<agent::v1::WatchEvent>& out);
  void Forget(const std::string& path);
  void RenameBelow(const std::string& from, const std::string& to);
  void SettleMove(std::vector<agent::v1::WatchEvent>& out);

  UniqueFd inotify_;
  WatchDepth depth_;
  std::string top_;
  absl::flat_hash_map<int, std::string> paths_;  // by watch descriptor
  MovedFrom moved_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_WATCH_TREE_H_
