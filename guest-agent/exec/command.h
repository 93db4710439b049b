// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// From an Exec message to a plan that Spawn can carry out, and from its failure to a reason.

#ifndef MSB_GUEST_AGENT_EXEC_COMMAND_H_
#define MSB_GUEST_AGENT_EXEC_COMMAND_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "guest-agent/exec/spawn.h"
#include "guest-agent/users/user_database.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Where commands are looked for when the environment names no PATH.
inline constexpr char kDefaultPath[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// TERM of a command on a terminal, when the environment has none.
inline constexpr char kDefaultTerm[] = "xterm-256color";

// Checks everything that can be checked before a process exists (kInvalidArgument) and resolves the
// user (kUserNotFound). `stdio` and `cgroup_fd` of the plan are left for the caller.
// `defaults`: "NAME=value", where the command has no such variable.
absl::StatusOr<SpawnPlan> PlanCommand(const agent::v1::Exec& exec, UserDatabase& users,
                                      absl::Span<const std::string> defaults);

// `result` is not a success.
absl::Status SpawnError(const agent::v1::Exec& exec, const SpawnResult& result);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_COMMAND_H_
