// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl ls, ps, inspect.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/sandbox_options.h"

namespace msb {
namespace {

constexpr size_t kShortId = 10;

std::string StateOf(const msb::v1::Sandbox& sandbox) {
  const std::string state = WordOf(sandbox.state());
  if (sandbox.reason() == msb::v1::REASON_UNSPECIFIED) return state;
  return absl::StrCat(state, " [", WordOf(sandbox.reason()), "]");
}

std::string EngineOf(const msb::v1::Sandbox& sandbox) {
  return sandbox.engine() == msb::v1::ENGINE_UNSPECIFIED ? "-" : WordOf(sandbox.engine());
}

struct ListOptions {
  bool all = false;
  bool quiet = false;
  std::vector<std::string> labels;
};

absl::StatusOr<int> List(Session& session, const ListOptions& options) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::ListRequest request;
  MSB_RETURN_IF_ERROR(
      ParseAssignments(options.labels, BareName::kIsEmpty, *request.mutable_labels()));
  if (!options.all) {
    for (auto state : {msb::v1::SANDBOX_STATE_CREATING, msb::v1::SANDBOX_STATE_STARTING,
                       msb::v1::SANDBOX_STATE_RUNNING, msb::v1::SANDBOX_STATE_PAUSED,
                       msb::v1::SANDBOX_STATE_STOPPING, msb::v1::SANDBOX_STATE_FAILED}) {
      request.add_states(state);
    }
  }
  MSB_ASSIGN_OR_RETURN(
      const msb::v1::ListResponse response,
      client->Call(client->sandboxes(), &msb::v1::SandboxService::Stub::List, request));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(response).c_str(), stdout);
    return kExitOk;
  }
  if (options.quiet) {
    for (const auto& sandbox : response.sandboxes()) std::printf("%s\n", sandbox.name().c_str());
    return kExitOk;
  }
  Table table({"NAME", "ID", "STATE", "IMAGE", "CPUS", "MEMORY", "ENGINE", "CREATED"});
  for (const auto& sandbox : response.sandboxes()) {
    const auto& resources = sandbox.spec().resources();
    table.Add({sandbox.name(), sandbox.id().substr(0, kShortId), StateOf(sandbox),
               Printable(sandbox.spec().image()), absl::StrCat(resources.vcpus()),
               Bytes(uint64_t{resources.memory_mib()} << 20), EngineOf(sandbox),
               Ago(sandbox.created_at())});
  }
  table.Print();
  return kExitOk;
}

absl::StatusOr<int> ListExecs(Session& session, const std::string& name, bool quiet) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::ListExecsRequest request;
  request.set_sandbox(name);
  MSB_ASSIGN_OR_RETURN(
      const msb::v1::ListExecsResponse response,
      client->Call(client->execs(), &msb::v1::ExecService::Stub::ListExecs, request));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(response).c_str(), stdout);
    return kExitOk;
  }
  if (quiet) {
    for (const auto& exec : response.execs()) std::printf("%s\n", exec.exec_id().c_str());
    return kExitOk;
  }
  Table table({"EXEC", "PID", "STATE", "STARTED", "COMMAND"});
  for (const auto& exec : response.execs()) {
    std::string state = exec.running() ? (exec.attached() ? "running, attached" : "running")
                                       : absl::StrCat("exited ", exec.exited().exit_code());
    table.Add({exec.exec_id(), absl::StrCat(exec.pid()), std::move(state), Ago(exec.started_at()),
               CommandLine(exec.argv())});
  }
  table.Print();
  return kExitOk;
}

absl::StatusOr<int> Inspect(Session& session, const std::vector<std::string>& names) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  for (const std::string& name : names) {
    msb::v1::GetRequest request;
    request.set_sandbox(name);
    MSB_ASSIGN_OR_RETURN(
        const msb::v1::Sandbox sandbox,
        client->Call(client->sandboxes(), &msb::v1::SandboxService::Stub::Get, request));
    std::fputs(ToJson(sandbox).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace

void AddListCommands(CLI::App& app, Session& session) {
  auto* ls = app.add_subcommand("ls", "list sandboxes");
  ls->group(kSandboxGroup);
  ls->footer(
      "Examples:\n"
      "  msbctl ls -a\n"
      "  msbctl ls -aq -l team=red | xargs -r msbctl rm -f\n"
      "  msbctl --format json ls | jq -r '.sandboxes[] | .name + \" \" + .state'");
  auto options = std::make_shared<ListOptions>();
  ls->add_flag("-a,--all", options->all, "stopped ones too");
  ls->add_flag("-q,--quiet", options->quiet, "names only");
  ls->add_option("-l,--label", options->labels, "only those with this label; repeatable")
      ->type_name("KEY[=VALUE]")
      ->allow_extra_args(false);
  ls->callback([&session, options] { session.End(List(session, *options)); });

  auto* ps = app.add_subcommand("ps", "list the commands of a sandbox");
  ps->group(kExecGroup);
  ps->footer("Those that run, and those whose output is still kept.\n\nExample:\n  msbctl ps box");
  auto sandbox = std::make_shared<std::string>();
  ps->add_option("sandbox", *sandbox, "name or id")->required();
  auto quiet = std::make_shared<bool>(false);
  ps->add_flag("-q,--quiet", *quiet, "ids only");
  ps->callback([&session, sandbox, quiet] { session.End(ListExecs(session, *sandbox, *quiet)); });

  auto* inspect = app.add_subcommand("inspect", "everything about sandboxes, as JSON");
  inspect->group(kSandboxGroup);
  inspect->footer(
      "One object per sandbox.\n\n"
      "Example:\n"
      "  msbctl inspect box | jq -r .state");
  auto names = std::make_shared<std::vector<std::string>>();
  inspect->add_option("sandbox", *names, "names or ids")->required();
  inspect->callback([&session, names] { session.End(Inspect(session, *names)); });
}

}  // namespace msb
