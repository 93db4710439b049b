// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The runtime directory of a sandbox: the VMM's sockets and logs. The VMM gets them as descriptors
// and never sees their names, so that the directory and all in it belong to the daemon alone (0700,
// 0600).

#ifndef MSB_SUPERVISOR_LAUNCH_RUNTIME_FILES_H_
#define MSB_SUPERVISOR_LAUNCH_RUNTIME_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "supervisor/launch/launcher.h"

namespace msb {

struct RuntimeFiles {
  UniqueFd control_listener;
  UniqueFd vsock_listener;
  UniqueFd link_listener;
  UniqueFd console_log;
  UniqueFd vmm_log;  // appends
  UniqueFd exit_event;
};

// Makes `path` and what is missing above it, with mode 0700.
absl::Status MakePrivateDirectory(const std::string& path);

// Makes the directory and all in it. The files of an earlier run of the same sandbox are emptied.
absl::StatusOr<RuntimeFiles> MakeRuntimeFiles(const LaunchPlan& plan);

// Removes sockets and exit event, and the directory when no log is in it. OK when they are not
// there.
absl::Status RemoveRuntimeFiles(const LaunchPlan& plan);

// Removes the logs, and the directory when nothing else is in it. OK when they are not there.
absl::Status RemoveLogFiles(const LaunchPlan& plan);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_RUNTIME_FILES_H_
