// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the commands of msbctl share: the parsed global options and the way they end.
//
// A command is one Add...Command function that declares its options and a callback. The callback
// calls Session::End with the outcome; main returns that as the exit code.

#ifndef MSB_SDKS_MSBCTL_COMMAND_LINE_H_
#define MSB_SDKS_MSBCTL_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sdks/msbctl/client.h"
#include "sdks/msbctl/exit_code.h"
#include "sdks/msbctl/output.h"

namespace msb {

class Session {
 public:
  Endpoint endpoint;
  std::string format_name = "table";

  Format format() const { return format_name == "json" ? Format::kJson : Format::kTable; }

  // What stood behind the first "--" of the command line: CLI11 never sees the guest's words.
  std::vector<std::string> behind_dashes;

  // Connected at the first call.
  absl::StatusOr<Client*> client();

  // The outcome of a command: an exit code, or an error that is printed.
  void End(const absl::StatusOr<int>& outcome);
  void End(const absl::Status& outcome) {
    End(outcome.ok() ? absl::StatusOr<int>(kExitOk) : absl::StatusOr<int>(outcome));
  }
  // The same for a command that was to run in a sandbox (exit codes 124 to 127).
  void EndExec(const absl::StatusOr<int>& outcome);

  int exit_code() const { return exit_code_; }

 private:
  std::unique_ptr<Client> client_;
  int exit_code_ = kExitOk;
};

// For commands that end in a command of the guest: everything from the first word that is no option
// of ours on, with or without "--" before it.
void TakesGuestCommand(CLI::App& command);
// That command line, once `command` has been parsed; kInvalidArgument when there is none, or an
// option that nobody knows stands before it.
absl::StatusOr<std::vector<std::string>> GuestCommand(const CLI::App& command,
                                                      const Session& session);

// Checks of an option's value. They have no description, which CLI11 would append to the name of
// the value in --help.
CLI::Validator OneOf(std::vector<std::string> words);
CLI::Validator MoreThanZero();

// The groups of the commands in --help; each command that is added puts itself into one.
inline constexpr char kSandboxGroup[] = "Sandboxes";
inline constexpr char kExecGroup[] = "In a sandbox";
inline constexpr char kObserveGroup[] = "What goes on";
inline constexpr char kNetworkGroup[] = "Network";
inline constexpr char kHostGroup[] = "This host";

void AddRunCommand(CLI::App& app, Session& session);
void AddLifecycleCommands(CLI::App& app,
                          Session& session);            // create start stop restart pause resume rm
void AddListCommands(CLI::App& app, Session& session);  // ls ps inspect
void AddExecCommands(CLI::App& app, Session& session);  // exec attach shell kill
void AddCopyCommand(CLI::App& app, Session& session);   // cp
void AddNetworkCommands(CLI::App& app, Session& session);  // net port
void AddSecretCommands(CLI::App& app, Session& session);   // secret ls set rm
void AddPrivateNetworkCommands(CLI::App& app,
                               Session& session);          // network create ls rm
void AddObserveCommands(CLI::App& app, Session& session);  // logs stats events doctor info
void AddDaemonCommands(CLI::App& app, Session& session);   // daemon config version
void AddImageCommands(CLI::App& app, Session& session);    // image pull load save ls inspect rm ...
void AddVolumeCommands(CLI::App& app, Session& session);   // volume create ls inspect rm
void AddCompletionCommand(CLI::App& app, Session& session);
void AddHelpCommand(CLI::App& app, Session& session);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_COMMAND_LINE_H_
