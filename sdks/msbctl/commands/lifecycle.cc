// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl create, start, stop, restart, pause, resume, rm.

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/image_pull.h"
#include "sdks/msbctl/progress.h"
#include "sdks/msbctl/sandbox_options.h"
#include "sdks/msbctl/secret_argument.h"

namespace msb {
namespace {

using Stub = msb::v1::SandboxService::Stub;

// Does one thing to each of several sandboxes; goes on after a failure and ends with it.
absl::Status ForEach(Session& session, const std::vector<std::string>& names,
                     const std::function<absl::Status(Client&, const std::string&)>& action) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  absl::Status first;
  for (const std::string& name : names) {
    const absl::Status status = action(*client, name);
    if (status.ok()) {
      std::printf("%s\n", name.c_str());
      continue;
    }
    if (!first.ok()) PrintError(first);
    first = status;
  }
  return first;
}

absl::StatusOr<int> Create(Session& session, const SandboxOptions& options,
                           const std::vector<std::string>& env, bool start) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::CreateRequest request;
  MSB_ASSIGN_OR_RETURN(*request.mutable_spec(), options.ToSpec());
  MSB_RETURN_IF_ERROR(
      ParseAssignments(env, BareName::kFromEnvironment, *request.mutable_spec()->mutable_env()));
  request.set_start(start);
  MSB_RETURN_IF_ERROR(ProvideImage(*client, options.pull, request));
  absl::StatusOr<msb::v1::Sandbox> sandbox;
  {
    const Progress progress(start ? "starting the sandbox" : "creating the sandbox");
    sandbox = client->Call(client->sandboxes(), &Stub::Create, request);
  }
  if (!sandbox.ok()) return sandbox.status();
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(*sandbox).c_str(), stdout);
  } else {
    std::printf("%s\n", sandbox->name().c_str());
  }
  return kExitOk;
}

absl::Status Start(Client& client, const std::string& name,
                   const std::vector<std::string>& secrets) {
  msb::v1::StartRequest request;
  request.set_sandbox(name);
  for (const std::string& secret : secrets) {
    MSB_ASSIGN_OR_RETURN(*request.add_secrets(), ParseSecretValue(secret));
  }
  const Progress progress("starting " + name);
  return client.Call(client.sandboxes(), &Stub::Start, request).status();
}

struct StopOptions {
  std::vector<std::string> names;
  std::string grace;
  bool force = false;
};

absl::Status Stop(Client& client, const std::string& name, const StopOptions& options) {
  const Progress progress("stopping " + name);
  msb::v1::StopRequest request;
  request.set_sandbox(name);
  request.set_force(options.force);
  if (!options.grace.empty()) {
    MSB_ASSIGN_OR_RETURN(*request.mutable_grace(), ParseDuration(options.grace));
  }
  return client.Call(client.sandboxes(), &Stub::Stop, request).status();
}

CLI::App* AddCommandOnSandboxes(CLI::App& app, const char* name, const char* description,
                                std::vector<std::string>& names) {
  auto* command = app.add_subcommand(name, description);
  command->group(kSandboxGroup);
  command->add_option("sandbox", names, "names or ids")->required();
  return command;
}

void AddStop(CLI::App& app, Session& session) {
  for (const bool restart : {false, true}) {
    auto options = std::make_shared<StopOptions>();
    auto* command = AddCommandOnSandboxes(
        app, restart ? "restart" : "stop",
        restart ? "stop and start sandboxes" : "shut sandboxes down, keeping their disks",
        options->names);
    command
        ->add_option("--grace", options->grace,
                     "from SIGTERM or the image's stop signal to SIGKILL for its processes\n"
                     "(default: the daemon's)")
        ->type_name("TIME");
    command->add_flag("-f,--force", options->force, "at once, as if the power went");
    command->footer(restart ? "Example:\n  msbctl restart box"
                            : "Examples:\n"
                              "  msbctl stop box\n"
                              "  msbctl stop --grace 30s box && msbctl start box");
    command->callback([&session, options, restart] {
      session.End(ForEach(session, options->names, [&](Client& client, const std::string& name) {
        MSB_RETURN_IF_ERROR(Stop(client, name, *options));
        return restart ? Start(client, name, {}) : absl::OkStatus();
      }));
    });
  }
}

struct UpdateOptions {
  std::vector<std::string> names;
  std::string disk;
  std::vector<std::string> labels;
  std::vector<std::string> removed_labels;
};

absl::Status Update(Client& client, const std::string& name, const UpdateOptions& options) {
  msb::v1::UpdateRequest request;
  request.set_sandbox(name);
  if (!options.disk.empty()) {
    MSB_ASSIGN_OR_RETURN(const uint32_t mib, ParseMebibytes(options.disk));
    if (mib == 0) return MakeError(Reason::kInvalidResources, "--disk must be more than 0");
    request.set_disk_mib(mib);
  }
  MSB_RETURN_IF_ERROR(
      ParseAssignments(options.labels, BareName::kIsEmpty, *request.mutable_set_labels()));
  for (const std::string& key : options.removed_labels) request.add_remove_labels(key);
  return client.Call(client.sandboxes(), &Stub::Update, request).status();
}

void AddUpdate(CLI::App& app, Session& session) {
  auto options = std::make_shared<UpdateOptions>();
  auto* command = AddCommandOnSandboxes(
      app, "update", "change labels, or the size of the disk from the next start on",
      options->names);
  command->footer(
      "Examples:\n"
      "  msbctl update box --disk 8G && msbctl restart box\n"
      "  msbctl update box --label stage=test");
  command->add_option("--disk", options->disk, "new size of the writable layer, no smaller: 8G")
      ->type_name("SIZE");
  command->add_option("-l,--label", options->labels, "a label to set; repeatable")
      ->type_name("KEY[=VALUE]")
      ->allow_extra_args(false);
  command->add_option("--remove-label", options->removed_labels, "a label to take away; repeatable")
      ->type_name("KEY")
      ->allow_extra_args(false);
  command->callback([&session, options] {
    session.End(ForEach(session, options->names, [&](Client& client, const std::string& name) {
      return Update(client, name, *options);
    }));
  });
}

template <typename Request, typename Response>
void AddSimple(CLI::App& app, Session& session, const char* name, const char* description,
               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  auto names = std::make_shared<std::vector<std::string>>();
  auto* command = AddCommandOnSandboxes(app, name, description, *names);
  command->callback([&session, names, method] {
    session.End(ForEach(session, *names, [&](Client& client, const std::string& sandbox) {
      Request request;
      request.set_sandbox(sandbox);
      return client.Call(client.sandboxes(), method, request).status();
    }));
  });
}

}  // namespace

void AddLifecycleCommands(CLI::App& app, Session& session) {
  auto* create = app.add_subcommand("create", "create a sandbox and start it");
  create->group(kSandboxGroup);
  auto options = std::make_shared<SandboxOptions>();
  auto env = std::make_shared<std::vector<std::string>>();
  auto no_start = std::make_shared<bool>(false);
  options->Declare(*create);
  create
      ->add_option("-e,--env", *env,
                   "environment of each of its commands; NAME alone passes yours on; repeatable")
      ->type_name("NAME[=VALUE]")
      ->allow_extra_args(false);
  create->add_flag("--no-start", *no_start, "only create it");
  create->footer(
      "Prints its name.\n\n"
      "Examples:\n"
      "  msbctl create --name box --memory 1G\n"
      "  box=$(msbctl create) && msbctl exec $box -- uname -a");
  create->callback([&session, options, env, no_start] {
    session.End(Create(session, *options, *env, !*no_start));
  });

  auto names = std::make_shared<std::vector<std::string>>();
  auto secrets = std::make_shared<std::vector<std::string>>();
  auto* start = AddCommandOnSandboxes(app, "start", "start stopped sandboxes", *names);
  start->add_option("--secret", *secrets, "a value that the daemon does not have (any more)")
      ->type_name("NAME[=SOURCE]")
      ->allow_extra_args(false);
  start->callback([&session, names, secrets] {
    session.End(ForEach(session, *names, [&](Client& client, const std::string& name) {
      return Start(client, name, *secrets);
    }));
  });
  AddStop(app, session);
  AddUpdate(app, session);
  AddSimple(app, session, "pause", "freeze running sandboxes", &Stub::Pause);
  AddSimple(app, session, "resume", "let frozen sandboxes go on", &Stub::Resume);

  auto removed = std::make_shared<std::vector<std::string>>();
  auto force = std::make_shared<bool>(false);
  auto* remove = AddCommandOnSandboxes(app, "rm", "remove sandboxes with their disks", *removed);
  remove->add_flag("-f,--force", *force, "running ones too");
  remove->footer(
      "Examples:\n"
      "  msbctl rm box\n"
      "  msbctl ls -aq | xargs -r msbctl rm -f    # all of them");
  remove->callback([&session, removed, force] {
    session.End(ForEach(session, *removed, [&](Client& client, const std::string& name) {
      msb::v1::RemoveRequest request;
      request.set_sandbox(name);
      request.set_force(*force);
      return client.Call(client.sandboxes(), &Stub::Remove, request).status();
    }));
  });
}

}  // namespace msb
