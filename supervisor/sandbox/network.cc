// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"
#include "network/policy/policy.h"
#include "supervisor/sandbox/ask_companion.h"
#include "supervisor/sandbox/private_networks.h"
#include "supervisor/sandbox/secrets.h"

namespace msb {
namespace {

using msb::v1::NetworkRule;
using msb::v1::PublishedPort;

// The same in every sandbox: each is alone on its wire, and a copy of one needs no other address.
// 192.0.0.0/29 is for the host's side of IPv4 continuity (RFC 7335), so that no host that a guest
// may want to reach has it; fd6d:7362::/64 is a unique local prefix of our own.
constexpr char kGuestAddress[] = "192.0.0.2";
constexpr char kGateway[] = "192.0.0.1";
constexpr char kGuestAddress6[] = "fd6d:7362::2";
constexpr char kGateway6[] = "fd6d:7362::1";
constexpr char kGuestWords[] =
    " msb.address=192.0.0.2/29 msb.gateway=192.0.0.1 msb.dns=192.0.0.1"
    " msb.address6=fd6d:7362::2/64 msb.gateway6=fd6d:7362::1";
constexpr char kGuestMac[] = "\x02msb\0\2";
constexpr size_t kMacBytes = 6;

// Descriptors that are none of a flow's, a look-up's, a member's or a port's: control, watchers,
// and a second one for the moment in which a connection goes to msb-secrets or to a neighbour.
constexpr uint32_t kOtherDescriptors = 256;
constexpr uint32_t kPidsMax = 4;
constexpr uint16_t kFirstUnprivilegedPort = 1024;
constexpr int kBacklog = 1024;
constexpr int kMaxDnsServers = 3;  // as many as glibc reads

absl::Status Invalid(absl::string_view what) { return MakeError(Reason::kInvalidArgument, what); }

// The text form of the fields.
std::string TextOf(const NetworkRule& rule) {
  std::string text = rule.action() == NetworkRule::ACTION_ALLOW  ? "allow"
                     : rule.action() == NetworkRule::ACTION_DENY ? "deny"
                                                                 : "unspecified";
  absl::StrAppend(&text, rule.direction() == NetworkRule::DIRECTION_IN ? " in" : " out");
  if (rule.protocol() == NetworkRule::PROTOCOL_TCP) text += " tcp";
  if (rule.protocol() == NetworkRule::PROTOCOL_UDP) text += " udp";
  if (rule.protocol() == NetworkRule::PROTOCOL_ICMP) text += " icmp";
  absl::StrAppend(&text, " ", rule.target());
  const char* separator = " ";
  for (const msb::v1::PortRange& range : rule.ports()) {
    absl::StrAppend(&text, separator, range.first());
    if (range.last() != 0) absl::StrAppend(&text, "-", range.last());
    separator = ",";
  }
  return text;
}

void FillFields(const net::Rule& parsed, NetworkRule& rule) {
  rule.Clear();
  rule.set_text(parsed.ToString());
  rule.set_action(parsed.action == net::Action::kAllow ? NetworkRule::ACTION_ALLOW
                                                       : NetworkRule::ACTION_DENY);
  rule.set_direction(parsed.direction == net::Direction::kIn ? NetworkRule::DIRECTION_IN
                                                             : NetworkRule::DIRECTION_OUT);
  rule.set_protocol(parsed.protocol == net::Protocol::kTcp    ? NetworkRule::PROTOCOL_TCP
                    : parsed.protocol == net::Protocol::kUdp  ? NetworkRule::PROTOCOL_UDP
                    : parsed.protocol == net::Protocol::kIcmp ? NetworkRule::PROTOCOL_ICMP
                                                              : NetworkRule::PROTOCOL_UNSPECIFIED);
  net::Rule target;
  target.target = parsed.target;
  rule.set_target(target.ToString().substr(sizeof("allow out ") - 1));
  for (const net::PortRange& range : parsed.ports) {
    msb::v1::PortRange& entry = *rule.add_ports();
    entry.set_first(range.first);
    entry.set_last(range.last);
  }
}

// The name servers of the host, as its libc finds them.
std::vector<std::string> HostDnsServers() {
  std::vector<std::string> servers;
  std::ifstream file("/etc/resolv.conf");
  std::string line;
  while (std::getline(file, line) && servers.size() < kMaxDnsServers) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() < 2 || words[0] != "nameserver") continue;
    if (net::IpAddress::Parse(words[1]).has_value()) servers.push_back(words[1]);
  }
  return servers;
}

struct HostAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

HostAddress Resolve(const PublishedPort& port) {
  HostAddress address;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, port.host_address().c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port.host_port()));
    address.size = sizeof(*v4);
  } else if (::inet_pton(AF_INET6, port.host_address().c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port.host_port()));
    address.size = sizeof(*v6);
  }
  return address;
}

absl::StatusOr<UniqueFd> BindOnHost(const PublishedPort& port) {
  const bool tcp = port.protocol() == PublishedPort::PROTOCOL_TCP;
  const HostAddress address = Resolve(port);
  const std::string name = absl::StrCat("port ", port.host_address(), ":", port.host_port());
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(name, [&] {
                         return ::socket(address.storage.ss_family,
                                         (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
                       }));
  UniqueFd fd(raw);
  const int on = 1;
  // Connections of an earlier life of the sandbox do not keep the port.
  if (tcp) ::setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // "::" is IPv6 alone: who wants both says both.
  if (address.storage.ss_family == AF_INET6) {
    ::setsockopt(raw, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  }
  MSB_RETURN_IF_ERROR(Syscall(name, [&] {
    return ::bind(raw, reinterpret_cast<const sockaddr*>(&address.storage), address.size);
  }));
  if (tcp) MSB_RETURN_IF_ERROR(Syscall(name, [&] { return ::listen(raw, kBacklog); }));
  return fd;
}

}  // namespace

absl::Status CompletePort(PublishedPort& port) {
  if (port.protocol() == PublishedPort::PROTOCOL_UNSPECIFIED) {
    port.set_protocol(PublishedPort::PROTOCOL_TCP);
  }
  if (port.protocol() != PublishedPort::PROTOCOL_TCP &&
      port.protocol() != PublishedPort::PROTOCOL_UDP) {
    return Invalid("a published port is tcp or udp");
  }
  if (port.host_address().empty()) port.set_host_address("127.0.0.1");
  if (!net::IpAddress::Parse(port.host_address()).has_value()) {
    return Invalid("host_address of a published port is no address");
  }
  if (port.guest_port() < 1 || port.guest_port() > UINT16_MAX || port.host_port() > UINT16_MAX) {
    return Invalid("a published port is 1..65535, host port 0 is one that the host picks");
  }
  port.set_bound_port(0);
  return absl::OkStatus();
}

absl::Status CompleteNetwork(const NetworkConfig& config, msb::v1::Network& network) {
  if (network.preset().empty()) network.set_preset(config.preset);
  std::vector<std::string> texts;
  for (const NetworkRule& rule : network.rules()) {
    const bool has_fields = rule.action() != NetworkRule::ACTION_UNSPECIFIED;
    texts.push_back(rule.text().empty() || has_fields ? TextOf(rule) : rule.text());
    if (!rule.text().empty() && has_fields) {
      // An answer of ours that comes back: both say the same.
      texts.back() = rule.text();
    }
  }
  MSB_ASSIGN_OR_RETURN(const net::Policy policy, net::ParsePolicy(network.preset(), texts));
  for (int i = 0; i < network.rules_size(); ++i) {
    FillFields(policy.rules[static_cast<size_t>(i)], *network.mutable_rules(i));
  }
  MSB_RETURN_IF_ERROR(CheckPortCount(config, network.ports_size()));
  MSB_RETURN_IF_ERROR(CheckPrivateNetworks(network));
  for (PublishedPort& port : *network.mutable_ports()) MSB_RETURN_IF_ERROR(CompletePort(port));
  return absl::OkStatus();
}

absl::Status CheckPortRights(const Caller& caller, const PublishedPort& port) {
  if (port.host_port() == 0 || port.host_port() >= kFirstUnprivilegedPort || caller.sees_all) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kPermissionDenied,
                   absl::StrCat("host port ", port.host_port(), " is below ",
                                kFirstUnprivilegedPort, ": only root may publish it"));
}

absl::Status CheckPortCount(const NetworkConfig& config, int count) {
  if (count <= static_cast<int>(config.max_ports)) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded, absl::StrCat("at most ", config.max_ports,
                                                        " published ports ([network] max_ports)"));
}

bool HasCard(const msb::v1::Network& network) {
  return network.preset() != "none" || network.rules_size() > 0 || network.ports_size() > 0 ||
         network.private_networks_size() > 0;
}

msb::net::v1::Policy PolicyOf(const msb::v1::Network& network) {
  msb::net::v1::Policy policy;
  policy.set_preset(network.preset());
  for (const NetworkRule& rule : network.rules()) policy.add_rules(rule.text());
  return policy;
}

namespace {

std::string GuestMac() { return std::string(kGuestMac, kMacBytes); }

msb::net::v1::Limits LimitsOf(const NetworkConfig& config) {
  msb::net::v1::Limits limits;
  limits.set_max_flows(config.max_flows);
  limits.set_max_connecting(config.max_connecting);
  limits.set_max_lookups(config.max_lookups);
  limits.set_max_dns_connections(config.max_dns_connections);
  limits.set_max_names(config.max_names);
  limits.set_max_names_of_address(config.max_names_of_address);
  limits.set_max_members(config.max_members);
  limits.set_tcp_idle_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(config.tcp_idle)));
  limits.set_udp_idle_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(config.udp_idle)));
  limits.set_bytes_per_second_up(uint64_t{config.kib_per_second_up} << 10);
  limits.set_bytes_per_second_down(uint64_t{config.kib_per_second_down} << 10);
  limits.set_packets_per_second(config.packets_per_second);
  return limits;
}

CompanionSpec CompanionOf(const Config& config, const std::string& id,
                          const msb::v1::SandboxSpec& sandbox) {
  const msb::v1::Network& network = sandbox.network();
  msb::net::v1::NetSpec net;
  net.set_id(id);
  net.set_control_fd(kCompanionControlFd);
  net.set_link_fd(kCompanionVmmFd);
  net.set_guest_mac(GuestMac());
  net.set_mtu(config.network.mtu);
  net.set_guest_ipv4(kGuestAddress);
  net.set_gateway_ipv4(kGateway);
  net.set_guest_ipv6(kGuestAddress6);
  net.set_gateway_ipv6(kGateway6);
  for (std::string& server : HostDnsServers()) net.add_dns_servers(std::move(server));
  *net.mutable_policy() = PolicyOf(network);
  AddOwnNames(sandbox, net);
  *net.mutable_secrets() = HostsOf(sandbox.secrets());
  *net.mutable_limits() = LimitsOf(config.network);

  CompanionSpec companion;
  companion.name = kNetworkCompanion;
  companion.executable = config.daemon.net;
  companion.arguments = {"--spec-fd", absl::StrCat(kCompanionInputFd)};
  companion.own_user = kNetworkUser;
  companion.network = CompanionNetwork::kHost;
  companion.input = net.SerializeAsString();
  companion.memory_mib = config.network.memory_mib;
  companion.cpu_milli = config.network.cpu_milli;
  companion.pids_max = kPidsMax;
  companion.max_open_files = config.network.max_flows + config.network.max_lookups +
                             config.network.max_dns_connections + config.network.max_members +
                             config.network.max_ports + kOtherDescriptors;
  return companion;
}

}  // namespace

void AddNetwork(const Config& config, const msb::v1::SandboxSpec& sandbox, LaunchSpec& spec) {
  if (!HasCard(sandbox.network())) return;
  spec.net = LaunchSpec::Net{
      .mac = GuestMac(), .mtu = config.network.mtu, .companion = spec.companions.size()};
  spec.companions.push_back(CompanionOf(config, spec.id, sandbox));
  if (UsesSecrets(sandbox)) spec.companions.push_back(SecretsCompanionOf(config, spec.id));
  absl::StrAppend(&spec.command_line, kGuestWords);
}

namespace {

// A new end of the guest's wire, with a byte.
absl::Status HandToVmm(const std::string& link_socket, const UniqueFd& wire,
                       absl::Duration timeout) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd link, ConnectUnix(link_socket, Blocking::kNo));
  const std::string byte(1, '\0');
  return WriteWithDescriptors(link.get(), byte, {wire.get()}, absl::Now() + timeout);
}

absl::StatusOr<LaunchedCompanion> RestartNet(Launcher& launcher, const Config& config,
                                             const LaunchPlan& plan,
                                             const msb::v1::SandboxSpec& sandbox) {
  MSB_ASSIGN_OR_RETURN(Launcher::StartedCompanion started,
                       launcher.StartCompanion(plan, CompanionOf(config, plan.id, sandbox)));
  const absl::Status handed =
      HandToVmm(plan.link_socket, started.vmm_socket, config.agent.request_timeout);
  if (!handed.ok()) return WithReason(Reason::kHostError, "the VMM's wire", handed);
  const std::string socket = PathsOf(plan, kNetworkCompanion).control_socket;
  for (PublishedPort port : sandbox.network().ports()) {
    if (port.bound_port() != 0) port.set_host_port(port.bound_port());
    MSB_RETURN_IF_ERROR(PublishOnHost(socket, port, config.agent.request_timeout));
  }
  return std::move(started.companion);
}

absl::StatusOr<LaunchedCompanion> RestartSecrets(Launcher& launcher, const Config& config,
                                                 const LaunchPlan& plan,
                                                 const msb::v1::SandboxSpec& sandbox,
                                                 const SecretValues& values) {
  MSB_ASSIGN_OR_RETURN(Launcher::StartedCompanion started,
                       launcher.StartCompanion(plan, SecretsCompanionOf(config, plan.id)));
  MSB_RETURN_IF_ERROR(TellSecrets(plan, sandbox.secrets(), values, config.agent.request_timeout));
  return std::move(started.companion);
}

// Of one that was started and cannot be used: nobody would ever hear of its end.
void End(Launcher& launcher, const LaunchPlan& plan, absl::string_view name) {
  const absl::StatusOr<CompanionEnd> ended = launcher.EndCompanion(plan, name);
  if (!ended.ok()) {
    MSB_LOG(kError) << "sandbox " << plan.id << ": " << name
                    << " could not be ended: " << ended.status().message();
  }
}

}  // namespace

RestartedNetwork RestartNetworkProcesses(Launcher& launcher, const Config& config,
                                         const LaunchPlan& plan,
                                         const msb::v1::SandboxSpec& sandbox,
                                         const SecretValues* values) {
  RestartedNetwork restarted{.network = RestartNet(launcher, config, plan, sandbox)};
  if (restarted.network.ok() && UsesSecrets(sandbox)) {
    if (values != nullptr) {
      restarted.secrets = RestartSecrets(launcher, config, plan, sandbox, *values);
    }
    const bool runs = !restarted.secrets.has_value() || restarted.secrets->ok();
    const absl::Status connected =
        runs ? ConnectSecrets(plan, config.agent.request_timeout) : absl::OkStatus();
    if (!connected.ok()) restarted.network = connected;
  }
  if (!restarted.network.ok()) {
    End(launcher, plan, kNetworkCompanion);
    if (restarted.secrets.has_value()) restarted.secrets = restarted.network.status();
  }
  if (restarted.secrets.has_value() && !restarted.secrets->ok()) {
    End(launcher, plan, kSecretsCompanion);
  }
  return restarted;
}

absl::Status StatusOf(const msb::net::v1::Error& error) {
  const Reason reason = ReasonFromNumber(error.reason());
  return MakeError(reason == Reason::kUnspecified ? Reason::kHostError : reason, error.message());
}

absl::StatusOr<msb::net::v1::ControlResponse> AskNetwork(const std::string& control_socket,
                                                         msb::net::v1::ControlRequest request,
                                                         int fd, absl::Duration timeout) {
  request.set_id(1);
  std::string frame;
  AppendFrame(request.SerializeAsString(), frame);
  MSB_ASSIGN_OR_RETURN(
      const std::string answer,
      AskCompanion({.asked = "msb-net", .socket = control_socket, .frame = frame, .descriptor = fd},
                   timeout));
  msb::net::v1::ControlResponse response;
  if (!response.ParseFromString(answer)) {
    return MakeError(Reason::kHostError, "msb-net gave an answer that is none");
  }
  if (response.has_error()) return StatusOf(response.error());
  return response;
}

msb::net::v1::Port PortOf(const PublishedPort& port) {
  msb::net::v1::Port message;
  message.set_protocol(port.protocol() == PublishedPort::PROTOCOL_UDP
                           ? msb::net::v1::Port::PROTOCOL_UDP
                           : msb::net::v1::Port::PROTOCOL_TCP);
  message.set_host_address(port.host_address());
  message.set_host_port(port.bound_port() != 0 ? port.bound_port() : port.host_port());
  message.set_guest_port(port.guest_port());
  return message;
}

absl::StatusOr<uint32_t> PublishOnHost(const std::string& control_socket, const PublishedPort& port,
                                       absl::Duration timeout) {
  const absl::StatusOr<UniqueFd> fd = BindOnHost(port);
  if (!fd.ok()) return WithReason(Reason::kHostError, "publish", fd.status());
  HostAddress bound;
  bound.size = sizeof(bound.storage);
  MSB_RETURN_IF_ERROR(Syscall("getsockname", [&] {
    return ::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
  }));
  PublishedPort known = port;
  known.set_bound_port(ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port));
  msb::net::v1::ControlRequest request;
  *request.mutable_publish() = PortOf(known);
  MSB_RETURN_IF_ERROR(AskNetwork(control_socket, std::move(request), fd->get(), timeout));
  return known.bound_port();
}

}  // namespace msb
