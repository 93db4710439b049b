// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A cgroup for each command, so that what it started can be killed as a whole, daemons that left
// its session included.
//
// Cgroups are used again: making one costs more than all other system calls of a start together.

#ifndef MSB_GUEST_AGENT_EXEC_CGROUP_POOL_H_
#define MSB_GUEST_AGENT_EXEC_CGROUP_POOL_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "base/unique_fd.h"

namespace msb {

// Belongs to one command at a time.
class ExecCgroup {
 public:
  ExecCgroup() = default;
  ExecCgroup(UniqueFd directory, UniqueFd events)
      : directory_(std::move(directory)), events_(std::move(events)) {}

  // -1 when the command has none.
  int directory_fd() const { return directory_.get(); }
  bool valid() const { return directory_.valid(); }
  // SIGKILL to every process in it and below.
  void Kill() const;
  // Whether no living process is in it or below.
  bool IsEmpty() const;

 private:
  UniqueFd directory_;
  UniqueFd events_;  // cgroup.events
};

// Belongs to the loop's thread.
class CgroupPool {
 public:
  // `directory`: a folder of a cgroup2 file system to make cgroups in; made when missing. Empty, or
  // not of cgroup2: commands get none, and a time-out kills their session's first process group
  // alone.
  explicit CgroupPool(std::string directory) : directory_(std::move(directory)) {}

  ExecCgroup Take();
  // Back from a command that has ended; what it left running stays in it.
  void Return(ExecCgroup cgroup);

 private:
  ExecCgroup Make();

  std::string directory_;
  bool prepared_ = false;
  uint64_t next_ = 1;
  std::deque<ExecCgroup> returned_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_CGROUP_POOL_H_
