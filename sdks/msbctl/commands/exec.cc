// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl exec, attach, shell, kill.

#include <signal.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/exec_options.h"
#include "sdks/msbctl/exec_session.h"
#include "sdks/msbctl/signals.h"

namespace msb {
namespace {

// bash where the image has it.
constexpr char kLoginShell[] = "command -v bash >/dev/null && exec bash -l; exec sh -l";

struct ExecCommand {
  ExecOptions options;
  std::string sandbox;
  bool detach = false;
};

absl::StatusOr<int> Exec(Session& session, const ExecCommand& command,
                         const std::vector<std::string>& argv) {
  BlockForwardedSignals();
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::ExecRequest first;
  MSB_ASSIGN_OR_RETURN(*first.mutable_start(), command.options.ToStart(argv));
  first.mutable_start()->set_sandbox(command.sandbox);
  first.mutable_start()->set_detach(command.detach);
  first.mutable_start()->set_stdin_open(command.detach && command.options.interactive);
  ExecSession exec(*client, first, command.options.forward_stdin());
  return exec.Run();
}

struct AttachCommand {
  std::string sandbox;
  std::string exec_id;
  bool take_over = false;
  bool from_now = false;
};

absl::StatusOr<int> Attach(Session& session, const AttachCommand& command) {
  BlockForwardedSignals();
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::ExecRequest first;
  msb::v1::ExecAttach& attach = *first.mutable_attach();
  attach.set_sandbox(command.sandbox);
  attach.set_exec_id(command.exec_id);
  attach.set_take_over(command.take_over);
  if (command.from_now) {
    attach.set_stdout_offset(UINT64_MAX);
    attach.set_stderr_offset(UINT64_MAX);
  }
  ExecSession exec(*client, first, ForwardStdin::kYes);
  return exec.Run();
}

// "TERM", "SIGTERM" or "15".
absl::StatusOr<int> ParseSignal(const std::string& text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number > 0 && number < NSIG) return number;
  std::string name = absl::AsciiStrToUpper(text);
  if (name.rfind("SIG", 0) == 0) name = name.substr(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return MakeError(Reason::kInvalidArgument, absl::StrCat("'", text, "' is no signal"));
}

absl::StatusOr<int> Kill(Session& session, const std::string& sandbox, const std::string& exec_id,
                         const std::string& signal) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::SignalExecRequest request;
  MSB_ASSIGN_OR_RETURN(const int number, ParseSignal(signal));
  request.set_sandbox(sandbox);
  request.set_exec_id(exec_id);
  request.set_signal(number);
  MSB_RETURN_IF_ERROR(
      client->Call(client->execs(), &msb::v1::ExecService::Stub::SignalExec, request).status());
  return kExitOk;
}

}  // namespace

void AddExecCommands(CLI::App& app, Session& session) {
  auto* exec = app.add_subcommand("exec", "run a command in a running sandbox");
  exec->group(kExecGroup);
  exec->footer(
      "The exit code is the command's; 124 killed at --timeout, 125 not started, 126\n"
      "not executable, 127 not found, 128+N killed by signal N.\n\n"
      "Examples:\n"
      "  msbctl exec box -- ls -l /root\n"
      "  msbctl exec -e DEBUG=1 -w /srv box -- python3 - < script.py\n"
      "  msbctl exec -it box -- bash\n"
      "  id=$(msbctl exec -d box -- make) && msbctl attach box $id");
  auto command = std::make_shared<ExecCommand>();
  command->options.Declare(*exec);
  exec->add_flag("-d,--detach", command->detach, "in the background; prints the exec's id");
  exec->add_option("sandbox", command->sandbox, "name or id")->required();
  TakesGuestCommand(*exec);
  exec->callback([&session, command, exec] {
    const auto argv = GuestCommand(*exec, session);
    session.EndExec(argv.ok() ? Exec(session, *command, *argv) : argv.status());
  });

  auto* attach = app.add_subcommand("attach", "join a command that runs or has run");
  attach->group(kExecGroup);
  attach->footer(
      "Its output from the first byte that is kept; its exit code becomes this one's.\n\n"
      "Example:\n"
      "  msbctl ps box && msbctl attach box ID");
  auto joined = std::make_shared<AttachCommand>();
  attach->add_option("sandbox", joined->sandbox, "name or id")->required();
  attach->add_option("exec", joined->exec_id, "id of the command (msbctl ps)")->required();
  attach->add_flag("--take-over", joined->take_over, "end another client's hold on it");
  attach->add_flag("--from-now", joined->from_now, "without the output that is kept");
  attach->callback([&session, joined] { session.EndExec(Attach(session, *joined)); });

  auto* shell = app.add_subcommand("shell", "a shell in a running sandbox, on a terminal");
  shell->group(kExecGroup);
  shell->footer("Example:\n  msbctl shell -u nobody -w /tmp box");
  auto opened = std::make_shared<ExecCommand>();
  opened->options.Declare(*shell);
  opened->options.terminal = true;
  shell->add_option("sandbox", opened->sandbox, "name or id")->required();
  shell->callback([&session, opened] {
    session.EndExec(Exec(session, *opened, {"/bin/sh", "-c", kLoginShell}));
  });

  auto* kill = app.add_subcommand("kill", "send a signal to a command");
  kill->group(kExecGroup);
  kill->footer("Example:\n  msbctl kill -s INT box ID");
  auto names = std::make_shared<std::vector<std::string>>(3);
  (*names)[2] = "TERM";
  kill->add_option("sandbox", (*names)[0], "name or id")->required();
  kill->add_option("exec", (*names)[1], "id of the command (msbctl ps)")->required();
  kill->add_option("-s,--signal", (*names)[2], "name or number (default: TERM)")
      ->type_name("SIGNAL");
  kill->callback(
      [&session, names] { session.End(Kill(session, (*names)[0], (*names)[1], (*names)[2])); });
}

}  // namespace msb
