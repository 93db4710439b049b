// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a client wants run, and what the agent is told to run.

#ifndef MSB_SUPERVISOR_SANDBOX_EXEC_REQUEST_H_
#define MSB_SUPERVISOR_SANDBOX_EXEC_REQUEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/sandbox/image_config.h"

namespace msb {

struct TerminalSize {
  uint32_t rows = 0;
  uint32_t columns = 0;
};

struct ExecLimit {
  std::string name;  // "nofile", ...
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct ExecSpec {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::string workdir;
  std::string user;
  std::optional<TerminalSize> pty;
  std::optional<absl::Duration> timeout;  // unset: the sandbox's; zero: none
  std::vector<ExecLimit> limits;
  bool detach = false;
  bool stdin_open = false;
  uint32_t ring_bytes = 0;  // 0: the configuration's
};

// A command of a sandbox, over what the sandbox and its image bring: the nearer one's variables,
// directory and user stand. kInvalidArgument, kPathInvalid.
absl::StatusOr<msb::agent::v1::Exec> BuildExec(const ExecSpec& spec, const std::string& exec_id,
                                               const msb::v1::SandboxSpec& sandbox,
                                               const ImageConfig& image,
                                               const LimitsConfig& limits);

absl::Status ValidateTerminalSize(const TerminalSize& size);
// 1 to 64.
absl::Status ValidateSignal(int32_t signal);
// What can be an exec's id: 1 to 64 of [0-9a-z].
absl::Status ValidateExecId(absl::string_view id);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_EXEC_REQUEST_H_
