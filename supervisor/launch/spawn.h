// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Starts a program from a process with many threads: posix_spawn, never fork.

#ifndef MSB_SUPERVISOR_LAUNCH_SPAWN_H_
#define MSB_SUPERVISOR_LAUNCH_SPAWN_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace msb {

// Descriptors of the new process are below this.
inline constexpr int kMaxSpawnFd = 256;

struct SpawnRequest {
  std::string path;
  std::vector<std::string> argv;  // with the program's own name
  // Number in the new process -> descriptor here (kept open by the caller until Spawn returns). 0,
  // 1 and 2 are /dev/null when they are not named. All others of ours must be close-on-exec.
  std::map<int, int> fds;
};

struct SpawnedProcess {
  int pid = 0;
  UniqueFd pidfd;
};

// The new process has an empty environment, no signal blocked and none ignored. It is a child of
// ours: the caller waits for its end and reaps it (process.h). Thread-safe.
absl::StatusOr<SpawnedProcess> Spawn(const SpawnRequest& request);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_SPAWN_H_
