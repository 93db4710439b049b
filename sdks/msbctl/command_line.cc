// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/command_line.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/usage_error.h"

namespace msb {

absl::StatusOr<Client*> Session::client() {
  if (client_ == nullptr) {
    MSB_ASSIGN_OR_RETURN(client_, Client::Connect(endpoint));
  }
  return client_.get();
}

void Session::End(const absl::StatusOr<int>& outcome) {
  if (outcome.ok()) {
    exit_code_ = *outcome;
    return;
  }
  PrintError(outcome.status());
  exit_code_ = kExitFailure;
}

void Session::EndExec(const absl::StatusOr<int>& outcome) {
  End(outcome);
  if (!outcome.ok()) exit_code_ = ExitCodeOfExecError(outcome.status());
}

CLI::Validator OneOf(std::vector<std::string> words) {
  return CLI::Validator(CLI::IsMember(std::move(words))).description("");
}

CLI::Validator MoreThanZero() { return CLI::Validator(CLI::PositiveNumber).description(""); }

void TakesGuestCommand(CLI::App& command) {
  command.prefix_command();
  // Else the guest's words would be looked for among our global options and commands.
  command.fallthrough(false);
}

absl::StatusOr<std::vector<std::string>> GuestCommand(const CLI::App& command,
                                                      const Session& session) {
  std::vector<std::string> argv = command.remaining();
  const std::string how = "msbctl " + command.get_name() + " ... -- COMMAND";
  if (argv.empty()) {
    if (!session.behind_dashes.empty()) return session.behind_dashes;
    return MakeError(Reason::kInvalidArgument, "no command is given: " + how);
  }
  if (argv.front().front() == '-') {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(UnknownOption(command, argv.front()),
                                  "; what belongs to the command stands behind --: ", how));
  }
  if (!session.behind_dashes.empty()) {
    argv.push_back("--");
    argv.insert(argv.end(), session.behind_dashes.begin(), session.behind_dashes.end());
  }
  return argv;
}

}  // namespace msb
