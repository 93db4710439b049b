// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Runs msb-jailer (jailer/plan.h has its flags) and understands its report.

#ifndef MSB_SUPERVISOR_LAUNCH_JAILER_COMMAND_H_
#define MSB_SUPERVISOR_LAUNCH_JAILER_COMMAND_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/launcher.h"
#include "supervisor/launch/vmm_inputs.h"

namespace msb {

// Numbers in the jailer, beside those of the VMM.
inline constexpr int kJailerStatusFd = 40;
inline constexpr int kJailerExecFd = 41;

// The command line, with the program's own name.
std::vector<std::string> JailerCommandLine(const LaunchSpec& spec, const LaunchPlan& plan,
                                           const LaunchOptions& options, const CgroupLayout& layout,
                                           const VmmInputs& inputs);

struct JailerReport {
  std::optional<int> pid;  // of the jailed process; known before anything can go wrong in it
  std::string error;       // a line; empty: the VMM runs
};

JailerReport ParseJailerReport(absl::string_view text);

// The jailed process, and what became of it. A pid without success is that of a process which has
// ended or is about to, and which the caller reaps.
struct JailerOutcome {
  std::optional<int> pid;
  absl::Status status;  // kJailFailed
};

// Starts the jailer and waits for its end. Closes nothing of `inputs`.
JailerOutcome RunJailer(const std::vector<std::string>& command_line, const LaunchOptions& options,
                        const VmmInputs& inputs, const UniqueFd& vmm_log);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_JAILER_COMMAND_H_
