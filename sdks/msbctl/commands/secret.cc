// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl secret ls, set, rm.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/json.h"
#include "sdks/msbctl/secret_argument.h"

namespace msb {
namespace {

absl::StatusOr<int> List(Session& session, const std::string& sandbox) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::GetRequest request;
  request.set_sandbox(sandbox);
  MSB_ASSIGN_OR_RETURN(
      const msb::v1::Sandbox view,
      client->Call(client->sandboxes(), &msb::v1::SandboxService::Stub::Get, request));
  for (const msb::v1::Secret& secret : view.spec().secrets()) {
    if (session.format() == Format::kJson) {
      std::fputs(ToJsonLine(secret).c_str(), stdout);
    } else {
      std::printf("%-24s %s  %s\n", secret.name().c_str(), secret.placeholder().c_str(),
                  absl::StrJoin(secret.hosts(), ",").c_str());
    }
  }
  return kExitOk;
}

absl::StatusOr<int> Update(Session& session, const msb::v1::UpdateSecretsRequest& request) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_RETURN_IF_ERROR(
      client->Call(client->networks(), &msb::v1::NetworkService::Stub::UpdateSecrets, request));
  return kExitOk;
}

absl::StatusOr<int> Set(Session& session, const std::string& sandbox,
                        const std::vector<std::string>& words) {
  msb::v1::UpdateSecretsRequest request;
  request.set_sandbox(sandbox);
  for (const std::string& word : words) {
    // Without hosts: another value for a secret that there is.
    const bool hosts = absl::StrContains(word, '@');
    MSB_ASSIGN_OR_RETURN(*request.add_set(), hosts ? ParseSecret(word) : ParseSecretValue(word));
  }
  return Update(session, request);
}

absl::StatusOr<int> Remove(Session& session, const std::string& sandbox,
                           const std::vector<std::string>& names) {
  msb::v1::UpdateSecretsRequest request;
  request.set_sandbox(sandbox);
  for (const std::string& name : names) request.add_remove(name);
  return Update(session, request);
}

}  // namespace

void AddSecretCommands(CLI::App& app, Session& session) {
  CLI::App* secret = app.add_subcommand("secret", "values that a sandbox uses and never sees");
  secret->group(kNetworkGroup);
  secret->require_subcommand(1);
  auto sandbox = std::make_shared<std::string>();
  auto words = std::make_shared<std::vector<std::string>>();

  CLI::App* command = secret->add_subcommand("ls", "names, placeholders and hosts; no values");
  command->add_option("sandbox", *sandbox, "id or name")->required();
  command->callback([&session, sandbox] { session.End(List(session, *sandbox)); });

  command = secret->add_subcommand("set", "add secrets, or change values and hosts, at once");
  command->footer(
      "Examples:\n"
      "  msbctl secret set box TOKEN=env:NEW_TOKEN\n"
      "  pass show api | msbctl secret set box KEY=-@api.example.com");
  command->add_option("sandbox", *sandbox, "id or name")->required();
  command->add_option("secret", *words, "NAME[=SOURCE][@HOST[,HOST...]]")->required();
  command->callback([&session, sandbox, words] { session.End(Set(session, *sandbox, *words)); });

  command = secret->add_subcommand("rm", "take secrets away");
  command->add_option("sandbox", *sandbox, "id or name")->required();
  command->add_option("name", *words, "names of secrets")->required();
  command->callback([&session, sandbox, words] { session.End(Remove(session, *sandbox, *words)); });
}

}  // namespace msb
