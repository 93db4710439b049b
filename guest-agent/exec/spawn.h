// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Starts a program in a new process, without copying the agent's memory: the child runs on the
// agent's own pages until it execs (CLONE_VM | CLONE_VFORK), which in a guest whose page faults are
// dear makes the difference between one process and two.

#ifndef MSB_GUEST_AGENT_EXEC_SPAWN_H_
#define MSB_GUEST_AGENT_EXEC_SPAWN_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace msb {

// Everything the child does, made ready beforehand: between clone and exec it may only make system
// calls on what lies here.
struct SpawnPlan {
  // Paths to try in order, as execvp(3) does with PATH; the first that may be executed is.
  std::vector<std::string> candidates;
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // "NAME=value"
  // The first that can be entered becomes the working directory.
  std::vector<std::string> working_directories;
  // Become the child's 0, 1 and 2. All are above 2 and close-on-exec.
  int stdio[3] = {-1, -1, -1};
  // `stdio` is a terminal that becomes the controlling one.
  bool controlling_terminal = false;
  std::vector<std::pair<int, rlimit>> rlimits;
  // Set when the process shall not run as the agent itself does.
  bool change_identity = false;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  // Directory of the cgroup to be born in; -1: the agent's own.
  int cgroup_fd = -1;
};

enum class SpawnStep : int {
  kNone = 0,
  kClone = 1,
  kSession = 2,
  kTerminal = 3,
  kStdio = 4,
  kRlimit = 5,
  kIdentity = 6,
  kWorkingDirectory = 7,
  kExec = 8,
};

struct SpawnResult {
  pid_t pid = -1;                     // valid when step is kNone
  SpawnStep step = SpawnStep::kNone;  // that failed
  int error = 0;                      // errno of it
  // kExec: a candidate existed, whatever then stood against executing it.
  bool found = false;
};

// Leaves no process behind when it fails: it is reaped. Every signal must be blocked in the calling
// thread; the child starts with none blocked.
SpawnResult Spawn(const SpawnPlan& plan);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_SPAWN_H_
