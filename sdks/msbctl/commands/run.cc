// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl run: a command in a sandbox of its own, which is gone afterwards.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/exec_options.h"
#include "sdks/msbctl/exec_session.h"
#include "sdks/msbctl/image_pull.h"
#include "sdks/msbctl/progress.h"
#include "sdks/msbctl/sandbox_options.h"
#include "sdks/msbctl/signals.h"

namespace msb {
namespace {

// A client that was killed leaves no sandbox behind for longer than this.
constexpr int kOrphanSeconds = 30;

struct RunOptions {
  SandboxOptions sandbox;
  ExecOptions exec;
  const CLI::App* command = nullptr;
  bool keep = false;
};

absl::Status RemoveSandbox(const Client& client, msb::v1::SandboxService::Stub& stub,
                           const std::string& id) {
  msb::v1::RemoveRequest request;
  request.set_sandbox(id);
  request.set_force(true);
  return client.Call(stub, &msb::v1::SandboxService::Stub::Remove, request).status();
}

// Ctrl-C while the sandbox starts gives the call up; the daemon then removes what it has begun.
absl::StatusOr<msb::v1::Sandbox> CreateSandbox(Client& client, const RunOptions& options) {
  msb::v1::CreateRequest request;
  MSB_ASSIGN_OR_RETURN(*request.mutable_spec(), options.sandbox.ToSpec());
  msb::v1::SandboxSpec& spec = *request.mutable_spec();
  spec.set_remove_on_exit(!options.keep);
  if (!options.keep && !spec.limits().has_idle_timeout()) {
    spec.mutable_limits()->mutable_idle_timeout()->set_seconds(kOrphanSeconds);
  }
  {
    const SignalThread signals([](int signal) {
      if (signal != SIGWINCH) ::_exit(kExitSignalBase + signal);
    });
    MSB_RETURN_IF_ERROR(ProvideImage(client, options.sandbox.pull, request));
  }
  const Progress progress("starting a sandbox");
  const std::unique_ptr<grpc::ClientContext> context = client.NewContext();
  std::atomic<int> interrupted = 0;
  const SignalThread signals([&](int signal) {
    if (signal == SIGWINCH) return;
    interrupted = signal;
    context->TryCancel();
  });
  msb::v1::Sandbox sandbox;
  const grpc::Status status = client.sandboxes().Create(context.get(), request, &sandbox);
  if (interrupted != 0) ::_exit(kExitSignalBase + interrupted);
  if (!status.ok()) return Client::Outcome(status, *context);
  return sandbox;
}

absl::StatusOr<int> Run(Session& session, const RunOptions& options) {
  BlockForwardedSignals();
  std::vector<std::string> argv;  // empty: the image's own
  if (!options.command->remaining().empty() || !session.behind_dashes.empty()) {
    MSB_ASSIGN_OR_RETURN(argv, GuestCommand(*options.command, session));
  }
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::ExecRequest first;
  MSB_ASSIGN_OR_RETURN(*first.mutable_start(), options.exec.ToStart(argv));
  MSB_ASSIGN_OR_RETURN(const msb::v1::Sandbox sandbox, CreateSandbox(*client, options));
  first.mutable_start()->set_sandbox(sandbox.id());
  first.mutable_start()->set_kill_on_disconnect(!options.keep);
  absl::StatusOr<int> outcome;
  {
    ExecSession exec(*client, first, options.exec.forward_stdin());
    outcome = exec.Run();
  }
  if (options.keep) return outcome;
  const absl::Status removed = RemoveSandbox(*client, client->sandboxes(), sandbox.id());
  // It may have gone by itself, at a limit; the command's outcome says more then.
  if (!removed.ok() && ReasonOf(removed) != Reason::kSandboxNotFound) PrintError(removed);
  return outcome;
}

}  // namespace

void AddRunCommand(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("run", "run a command in a new sandbox, then remove it");
  auto options = std::make_shared<RunOptions>();
  command->group(kSandboxGroup);
  options->sandbox.Declare(*command);
  options->exec.Declare(*command);
  command->add_flag("--keep", options->keep, "leave the sandbox running afterwards");
  TakesGuestCommand(*command);
  options->command = command;
  command->footer(
      "Without a command it runs the image's own. The exit code is the command's; 124\n"
      "killed at --timeout, 125 not started, 126 not executable, 127 not found, 128+N\n"
      "killed by signal N.\n\n"
      "Examples:\n"
      "  msbctl run -- python3 -c 'print(6*7)'\n"
      "  msbctl run --memory 2G --timeout 60 -- python3 - < script.py\n"
      "  msbctl run -it -- bash");
  command->callback([&session, options] { session.EndExec(Run(session, *options)); });
}

}  // namespace msb
