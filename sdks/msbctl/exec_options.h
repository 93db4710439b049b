// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The options that describe a command, shared by `run`, `exec` and `shell`.

#ifndef MSB_SDKS_MSBCTL_EXEC_OPTIONS_H_
#define MSB_SDKS_MSBCTL_EXEC_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "msb/v1/exec.pb.h"
#include "sdks/msbctl/exec_session.h"

namespace msb {

struct ExecOptions {
  std::vector<std::string> env;
  std::string workdir;
  std::string user;
  std::string timeout;
  bool terminal = false;
  bool interactive = false;

  void Declare(CLI::App& command);
  absl::StatusOr<msb::v1::ExecStart> ToStart(const std::vector<std::string>& argv) const;
  // Piped input is always forwarded; that of a terminal when asked for, as a background job that
  // reads its terminal would be stopped.
  ForwardStdin forward_stdin() const;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_EXEC_OPTIONS_H_
