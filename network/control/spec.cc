// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/control/spec.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

absl::Status Invalid(absl::string_view field) {
  return MakeError(Reason::kInvalidArgument, absl::StrCat("net spec: ", field));
}

enum class Version { kV4, kV6 };

// "" leaves the address as it is: none.
absl::Status ParseAddress(absl::string_view field, const std::string& text, Version version,
                          IpAddress& address) {
  if (text.empty()) return absl::OkStatus();
  const std::optional<IpAddress> parsed = IpAddress::Parse(text);
  if (!parsed.has_value() || parsed->is_v4() != (version == Version::kV4)) return Invalid(field);
  address = *parsed;
  return absl::OkStatus();
}

FlowLimits LimitsOf(const msb::net::v1::Limits& given) {
  FlowLimits limits;
  if (given.max_flows() != 0) limits.max_flows = given.max_flows();
  if (given.max_connecting() != 0) limits.max_connecting = given.max_connecting();
  limits.max_connecting = std::min(limits.max_connecting, limits.max_flows);
  if (given.max_lookups() != 0) limits.max_lookups = given.max_lookups();
  if (given.max_dns_connections() != 0) limits.max_dns_connections = given.max_dns_connections();
  if (given.max_members() != 0) limits.max_members = given.max_members();
  limits.bytes_per_second_up = given.bytes_per_second_up();
  limits.bytes_per_second_down = given.bytes_per_second_down();
  limits.packets_per_second = given.packets_per_second();
  if (given.tcp_idle_seconds() != 0) limits.tcp_idle = absl::Seconds(given.tcp_idle_seconds());
  if (given.udp_idle_seconds() != 0) limits.udp_idle = absl::Seconds(given.udp_idle_seconds());
  return limits;
}

NamePins::Limits PinLimitsOf(const msb::net::v1::Limits& given) {
  NamePins::Limits limits;
  if (given.max_names() != 0) limits.names = given.max_names();
  if (given.max_names_of_address() != 0) limits.names_of_address = given.max_names_of_address();
  return limits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(EventLoop& loop,
                                                             const msb::net::v1::NetSpec& spec) {
  if (spec.mtu() < kMinMtu || spec.mtu() > kMaxMtu) return Invalid("mtu");
  if (spec.guest_mac().size() != 6) return Invalid("guest_mac");
  Addresses addresses;
  MSB_RETURN_IF_ERROR(
      ParseAddress("guest_ipv4", spec.guest_ipv4(), Version::kV4, addresses.guest_v4));
  MSB_RETURN_IF_ERROR(
      ParseAddress("gateway_ipv4", spec.gateway_ipv4(), Version::kV4, addresses.gateway_v4));
  MSB_RETURN_IF_ERROR(
      ParseAddress("guest_ipv6", spec.guest_ipv6(), Version::kV6, addresses.guest_v6));
  MSB_RETURN_IF_ERROR(
      ParseAddress("gateway_ipv6", spec.gateway_ipv6(), Version::kV6, addresses.gateway_v6));
  std::vector<IpAddress> servers;
  for (const std::string& text : spec.dns_servers()) {
    const std::optional<IpAddress> server = IpAddress::Parse(text);
    if (!server.has_value()) return Invalid("dns_servers");
    servers.push_back(*server);
  }
  LinkAddresses link{.guest_mac = {}, .gateway_mac = kGatewayMac};
  std::copy(spec.guest_mac().begin(), spec.guest_mac().end(), link.guest_mac.begin());
  const std::vector<std::string> rules(spec.policy().rules().begin(), spec.policy().rules().end());
  MSB_ASSIGN_OR_RETURN(Policy policy, ParsePolicy(spec.policy().preset(), rules));
  std::unique_ptr<Environment> environment(new Environment{.loop = loop,
                                                           .addresses = addresses,
                                                           .link_addresses = link,
                                                           .mtu = static_cast<uint16_t>(spec.mtu()),
                                                           .limits = LimitsOf(spec.limits()),
                                                           .dns_servers = std::move(servers)});
  environment->audit.SetPolicy(policy);
  environment->judge.SetPolicy(std::move(policy));
  MSB_RETURN_IF_ERROR(ReadHostAddresses(environment->judge));
  environment->judge.pins().set_limits(PinLimitsOf(spec.limits()));
  environment->members.SetNames({spec.private_domains().begin(), spec.private_domains().end()},
                                {spec.own_names().begin(), spec.own_names().end()});
  MSB_RETURN_IF_ERROR(environment->secrets.Set(spec.secrets()));
  environment->judge.SetSecrets(!environment->secrets.empty());
  return environment;
}

}  // namespace msb::net
