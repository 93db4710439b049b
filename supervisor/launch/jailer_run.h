// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Runs msb-jailer and understands its report.

#ifndef MSB_SUPERVISOR_LAUNCH_JAILER_RUN_H_
#define MSB_SUPERVISOR_LAUNCH_JAILER_RUN_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/spawn.h"

namespace msb {

// A source that the jailer could not open.
struct FailedSource {
  int fd = -1;  // as in CompanionSource
  std::string cause;
};

struct JailerReport {
  std::optional<int> pid;  // of the jailed process; known before anything can go wrong in it
  std::string error;       // a line; empty: the executable runs
  std::optional<FailedSource> failed_source;
};

JailerReport ParseJailerReport(absl::string_view text);

struct JailRequest {
  std::vector<std::string> command_line;
  std::string executable;  // that runs in the jail
  // Number in the jailed process -> descriptor here, the caller's until JailerRun::Start returns.
  std::map<int, int> fds;
  int log_fd = -1;  // its stdout and stderr, and the jailer's
};

// The jailed process, and what became of it. A pid without success is that of a process which has
// ended or is about to, and which the caller reaps.
struct JailerOutcome {
  std::optional<int> pid;
  absl::Status status;  // kJailFailed
  std::optional<FailedSource> failed_source;
};

// A jailer on its way. Several may run at the same time. Finish must be called: it waits.
class JailerRun {
 public:
  // kAssetMissing without the executable.
  static absl::StatusOr<JailerRun> Start(const JailRequest& request, const LaunchOptions& options);
  JailerOutcome Finish() &&;

 private:
  JailerRun(SpawnedProcess jailer, UniqueFd report, absl::Time deadline)
      : jailer_(std::move(jailer)), report_(std::move(report)), deadline_(deadline) {}

  SpawnedProcess jailer_;
  UniqueFd report_;
  absl::Time deadline_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_JAILER_RUN_H_
