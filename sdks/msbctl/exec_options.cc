// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/exec_options.h"

#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/output.h"
#include "sdks/msbctl/sandbox_options.h"
#include "sdks/msbctl/terminal.h"

namespace msb {

void ExecOptions::Declare(CLI::App& command) {
  const char* group = "Command";
  command.add_option("-e,--env", env, "its environment; NAME alone passes yours on; repeatable")
      ->type_name("NAME[=VALUE]")
      ->allow_extra_args(false)
      ->group(group);
  command.add_option("-w,--workdir", workdir, "directory to start in")
      ->type_name("DIR")
      ->group(group);
  command.add_option("-u,--user", user, "run it as name, uid or user:group")
      ->type_name("USER")
      ->group(group);
  command.add_option("--timeout", timeout, "kill it after this long: 90, 1.5s, 10m")
      ->type_name("TIME")
      ->group(group);
  command.add_flag("-t,--tty", terminal, "give it a terminal, as large as yours")->group(group);
  command
      .add_flag("-i,--interactive", interactive,
                "forward what is typed here; piped input always is")
      ->group(group);
}

absl::StatusOr<msb::v1::ExecStart> ExecOptions::ToStart(
    const std::vector<std::string>& argv) const {
  msb::v1::ExecStart start;
  for (const std::string& word : argv) start.add_argv(word);
  MSB_RETURN_IF_ERROR(ParseAssignments(env, BareName::kFromEnvironment, *start.mutable_env()));
  start.set_workdir(workdir);
  start.set_user(user);
  if (!timeout.empty()) {
    MSB_ASSIGN_OR_RETURN(*start.mutable_timeout(), ParseDuration(timeout));
  }
  if (!terminal) return start;
  const auto size = TerminalSizeOf(STDIN_FILENO);
  if (!size) {
    return MakeError(Reason::kNotATerminal,
                     "standard input is no terminal: leave out -t, or run msbctl in one");
  }
  *start.mutable_pty() = *size;
  if (const char* term = std::getenv("TERM"); term != nullptr && !start.env().contains("TERM")) {
    (*start.mutable_env())["TERM"] = term;
  }
  return start;
}

ForwardStdin ExecOptions::forward_stdin() const {
  const bool wanted = terminal || interactive || ::isatty(STDIN_FILENO) == 0;
  return wanted ? ForwardStdin::kYes : ForwardStdin::kNo;
}

}  // namespace msb
