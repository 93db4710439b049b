// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl net, msbctl port.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/json.h"
#include "sdks/msbctl/port_argument.h"

namespace msb {
namespace {

std::string PortText(const msb::v1::PublishedPort& port) {
  const bool v6 = port.host_address().find(':') != std::string::npos;
  const std::string address =
      v6 ? absl::StrCat("[", port.host_address(), "]") : port.host_address();
  const uint32_t host_port = port.bound_port() != 0 ? port.bound_port() : port.host_port();
  return absl::StrCat(address, ":", host_port, " -> ", port.guest_port(),
                      port.protocol() == msb::v1::PublishedPort::PROTOCOL_UDP ? "/udp" : "/tcp");
}

void PrintPolicy(const msb::v1::NetworkStatus& status) {
  const auto counters = [&](int i) {
    if (!status.running() || i >= status.counters_size()) return std::string();
    const msb::v1::RuleCounter& counter = status.counters(i);
    return absl::StrCat(counter.flows(), " flows, ", Bytes(counter.bytes_up()), " up, ",
                        Bytes(counter.bytes_down()), " down");
  };
  const msb::v1::Network& network = status.network();
  for (int i = 0; i < network.rules_size(); ++i) {
    std::printf("%3d  %-48s %s\n", i + 1, network.rules(i).text().c_str(), counters(i).c_str());
  }
  std::printf("     %-48s %s\n", network.preset().c_str(), counters(network.rules_size()).c_str());
  for (const auto& port : network.ports()) std::printf("port %s\n", PortText(port).c_str());
  if (!status.running()) return;
  std::printf("now  %u tcp, %u udp; denied %s; look-ups %s\n", status.tcp_connections(),
              status.udp_flows(), absl::StrCat(status.denied()).c_str(),
              absl::StrCat(status.dns_queries()).c_str());
}

absl::StatusOr<int> ShowPolicy(Session& session, const std::string& sandbox) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::GetNetworkRequest request;
  request.set_sandbox(sandbox);
  MSB_ASSIGN_OR_RETURN(
      const msb::v1::NetworkStatus status,
      client->Call(client->networks(), &msb::v1::NetworkService::Stub::GetNetwork, request));
  if (session.format() == Format::kJson) {
    std::fputs(ToJsonLine(status).c_str(), stdout);
  } else {
    PrintPolicy(status);
  }
  return kExitOk;
}

struct PolicyArguments {
  std::string sandbox;
  std::string preset;
  std::vector<std::string> allow;
  std::vector<std::string> deny;
};

absl::StatusOr<int> Policy(Session& session, const PolicyArguments& arguments) {
  if (arguments.preset.empty() && arguments.allow.empty() && arguments.deny.empty()) {
    return ShowPolicy(session, arguments.sandbox);
  }
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::UpdateNetworkRequest request;
  request.set_sandbox(arguments.sandbox);
  request.set_preset(arguments.preset);
  AddRules(arguments.deny, arguments.allow, *request.mutable_rules());
  MSB_RETURN_IF_ERROR(
      client->Call(client->networks(), &msb::v1::NetworkService::Stub::UpdateNetwork, request));
  return kExitOk;
}

std::string EventLine(const msb::v1::NetworkEvent& event) {
  const absl::Time at =
      absl::FromUnixSeconds(event.at().seconds()) + absl::Nanoseconds(event.at().nanos());
  std::string line = absl::StrCat(absl::FormatTime("%H:%M:%E3S", at, absl::LocalTimeZone()), " ",
                                  absl::StrFormat("%-11s ", WordOf(event.kind())));
  if (event.kind() == msb::v1::NetworkEvent::KIND_DNS) {
    absl::StrAppend(&line, Printable(event.name()), " ", Printable(event.detail()));
  } else {
    absl::StrAppend(&line, event.protocol(), " ", event.source(), " -> ", event.destination());
    if (!event.name().empty()) absl::StrAppend(&line, " (", Printable(event.name()), ")");
    if (event.kind() == msb::v1::NetworkEvent::KIND_FLOW_CLOSED) {
      absl::StrAppend(&line, " ", Bytes(event.bytes_up()), " up ", Bytes(event.bytes_down()),
                      " down");
    }
    if (!event.secret().empty()) absl::StrAppend(&line, " ", Printable(event.secret()));
    if (!event.detail().empty()) absl::StrAppend(&line, ": ", Printable(event.detail()));
  }
  if (!event.rule().empty()) absl::StrAppend(&line, " [", event.rule(), "]");
  return line + "\n";
}

absl::StatusOr<int> Log(Session& session, const std::string& sandbox) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::WatchNetworkRequest request;
  request.set_sandbox(sandbox);
  const auto context = client->NewContext();
  const auto reader = client->networks().WatchNetwork(context.get(), request);
  msb::v1::NetworkEvent event;
  while (reader->Read(&event)) {
    std::fputs((session.format() == Format::kJson ? ToJsonLine(event) : EventLine(event)).c_str(),
               stdout);
    std::fflush(stdout);
  }
  MSB_RETURN_IF_ERROR(Client::Outcome(reader->Finish(), *context));
  return kExitOk;
}

absl::StatusOr<int> Restart(Session& session, const std::string& sandbox) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::RestartNetworkRequest request;
  request.set_sandbox(sandbox);
  MSB_RETURN_IF_ERROR(
      client->Call(client->networks(), &msb::v1::NetworkService::Stub::RestartNetwork, request));
  return kExitOk;
}

struct PortArguments {
  std::string sandbox;
  std::string add;
  std::string remove;
};

absl::StatusOr<int> Port(Session& session, const PortArguments& arguments) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  if (!arguments.remove.empty()) {
    msb::v1::UnpublishPortRequest request;
    request.set_sandbox(arguments.sandbox);
    MSB_ASSIGN_OR_RETURN(*request.mutable_port(), ParsePort(arguments.remove));
    MSB_RETURN_IF_ERROR(
        client->Call(client->networks(), &msb::v1::NetworkService::Stub::UnpublishPort, request));
    return kExitOk;
  }
  if (!arguments.add.empty()) {
    msb::v1::PublishPortRequest request;
    request.set_sandbox(arguments.sandbox);
    MSB_ASSIGN_OR_RETURN(*request.mutable_port(), ParsePort(arguments.add));
    MSB_ASSIGN_OR_RETURN(
        const msb::v1::PublishedPort port,
        client->Call(client->networks(), &msb::v1::NetworkService::Stub::PublishPort, request));
    std::printf("%s\n", PortText(port).c_str());
    return kExitOk;
  }
  msb::v1::GetNetworkRequest request;
  request.set_sandbox(arguments.sandbox);
  MSB_ASSIGN_OR_RETURN(
      const msb::v1::NetworkStatus status,
      client->Call(client->networks(), &msb::v1::NetworkService::Stub::GetNetwork, request));
  for (const auto& port : status.network().ports()) std::printf("%s\n", PortText(port).c_str());
  return kExitOk;
}

}  // namespace

void AddNetworkCommands(CLI::App& app, Session& session) {
  CLI::App* net = app.add_subcommand("net", "what a sandbox may reach, and what it did");
  net->group(kNetworkGroup);
  net->require_subcommand(1);

  auto policy = std::make_shared<PolicyArguments>();
  CLI::App* command =
      net->add_subcommand("policy", "show the policy with its counters, or replace it (at once)");
  command->add_option("sandbox", policy->sandbox, "id or name")->required();
  command->add_option("--network", policy->preset, "none, public or all")
      ->type_name("NETWORK")
      ->check(OneOf({"none", "public", "all"}));
  command->add_option("--allow", policy->allow, "a rule; deny rules stand before allow rules")
      ->type_name("RULE")
      ->allow_extra_args(false);
  command->add_option("--deny", policy->deny, "a rule")->type_name("RULE")->allow_extra_args(false);
  command->footer(
      "docs/network.md has the rules' language.\n\n"
      "Examples:\n"
      "  msbctl net policy box\n"
      "  msbctl net policy box --network none --allow pypi.org:443");
  command->callback([&session, policy] { session.End(Policy(session, *policy)); });

  auto sandbox = std::make_shared<std::string>();
  auto follow = std::make_shared<bool>(false);
  command = net->add_subcommand("log", "flows, denials and look-ups as they happen");
  command->add_option("sandbox", *sandbox, "id or name")->required();
  command->add_flag("-f,--follow", *follow, "until interrupted (always so)");
  command->callback([&session, sandbox, follow] { session.End(Log(session, *sandbox)); });

  auto restarted = std::make_shared<std::string>();
  command = net->add_subcommand("restart", "a new network process, if the old one died or hangs");
  command->add_option("sandbox", *restarted, "id or name")->required();
  command->callback([&session, restarted] { session.End(Restart(session, *restarted)); });

  auto port = std::make_shared<PortArguments>();
  command = app.add_subcommand("port", "the published ports of a sandbox");
  command->group(kNetworkGroup);
  command->add_option("sandbox", port->sandbox, "id or name")->required();
  command->add_option("--add", port->add, "publish one more; HOST 0: the host picks")
      ->type_name("[ADDRESS:]HOST:GUEST[/udp]");
  command->add_option("--remove", port->remove, "no longer")
      ->type_name("[ADDRESS:]HOST:GUEST[/udp]");
  command->footer("Examples:\n  msbctl port box\n  msbctl port box --add 8080:80");
  command->callback([&session, port] { session.End(Port(session, *port)); });
}

}  // namespace msb
