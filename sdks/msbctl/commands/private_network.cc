// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl network create, ls, rm.

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/json.h"

namespace msb {
namespace {

using Stub = msb::v1::NetworkService::Stub;

absl::StatusOr<int> Create(Session& session, const std::string& name) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::CreatePrivateNetworkRequest request;
  request.set_name(name);
  MSB_ASSIGN_OR_RETURN(const msb::v1::PrivateNetwork network,
                       client->Call(client->networks(), &Stub::CreatePrivateNetwork, request));
  std::printf("%s\n", network.name().c_str());
  return kExitOk;
}

absl::StatusOr<int> List(Session& session) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_ASSIGN_OR_RETURN(const msb::v1::ListPrivateNetworksResponse list,
                       client->Call(client->networks(), &Stub::ListPrivateNetworks,
                                    msb::v1::ListPrivateNetworksRequest()));
  for (const msb::v1::PrivateNetwork& network : list.networks()) {
    if (session.format() == Format::kJson) {
      std::fputs(ToJsonLine(network).c_str(), stdout);
    } else {
      std::printf("%-24s %s\n", network.name().c_str(),
                  absl::StrJoin(network.sandboxes(), ",").c_str());
    }
  }
  return kExitOk;
}

absl::StatusOr<int> Remove(Session& session, const std::string& name) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::RemovePrivateNetworkRequest request;
  request.set_name(name);
  MSB_RETURN_IF_ERROR(client->Call(client->networks(), &Stub::RemovePrivateNetwork, request));
  std::printf("%s\n", name.c_str());
  return kExitOk;
}

}  // namespace

void AddPrivateNetworkCommands(CLI::App& app, Session& session) {
  CLI::App* network = app.add_subcommand("network", "private networks between sandboxes");
  network->group(kNetworkGroup);
  network->require_subcommand(1);
  network->footer(
      "Examples:\n"
      "  msbctl network create team\n"
      "  msbctl create --name db --network none --join team\n"
      "  msbctl run --join team -- curl http://db:8000/");
  auto name = std::make_shared<std::string>();

  CLI::App* command = network->add_subcommand("create", "make a network that sandboxes can join");
  command->add_option("name", *name, "letters, digits, inner hyphens")->required();
  command->callback([&session, name] { session.End(Create(session, *name)); });

  command = network->add_subcommand("ls", "networks with their members");
  command->callback([&session] { session.End(List(session)); });

  command = network->add_subcommand("rm", "remove a network that no sandbox is a member of");
  command->add_option("name", *name, "its name")->required();
  command->callback([&session, name] { session.End(Remove(session, *name)); });
}

}  // namespace msb
