// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/judge.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace msb::net {
namespace {

constexpr uint16_t kHttps = 443;
constexpr uint16_t kDnsOverTls = 853;  // RFC 7858, and over QUIC RFC 9250

Verdict Denied(const Verdict& of) { return {Action::kDeny, of.rule, of.by_name}; }

bool IsAmong(absl::Span<const std::string> names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Well-known resolvers that speak HTTPS: the name is in the clear, what is asked is not.
bool IsPublicResolver(const std::string& name) {
  static const absl::flat_hash_set<std::string> names = {
      "dns.google",
      "dns.google.com",
      "8888.google",
      "cloudflare-dns.com",
      "mozilla.cloudflare-dns.com",
      "chrome.cloudflare-dns.com",
      "security.cloudflare-dns.com",
      "family.cloudflare-dns.com",
      "one.one.one.one",
      "1dot1dot1dot1.cloudflare-dns.com",
      "dns.quad9.net",
      "dns9.quad9.net",
      "dns10.quad9.net",
      "dns11.quad9.net",
      "doh.opendns.com",
      "dns.adguard.com",
      "dns.adguard-dns.com",
      "unfiltered.adguard-dns.com",
      "dns.nextdns.io",
      "doh.cleanbrowsing.org",
      "dns.alidns.com",
      "doh.pub",
      "dns.controld.com",
      "freedns.controld.com",
      "doh.mullvad.net",
      "dns.mullvad.net",
      "doh.libredns.gr",
      "doh.dns.sb",
      "dns0.eu",
  };
  return names.contains(name);
}

}  // namespace

void Judge::SetPolicy(Policy policy) {
  policy_ = std::move(policy);
  names_matter_ = any_secrets_ || policy_.HasNameRules();
}

void Judge::SetSecrets(bool any) {
  any_secrets_ = any;
  names_matter_ = any_secrets_ || policy_.HasNameRules();
}

bool Judge::IsKnown(const IpAddress& address, const std::string& name, absl::Time now) const {
  return IsAmong(pins_.NamesOf(address, now), name);
}

void Judge::SetHostAddresses(std::vector<IpAddress> addresses) {
  host_addresses_.clear();
  host_addresses_.insert(addresses.begin(), addresses.end());
}

GroupSet Judge::GroupsOf(const IpAddress& address) const {
  if (is_member_ != nullptr && is_member_(address)) {
    GroupSet members;
    members.Add(Group::kMembers);
    return members;
  }
  GroupSet groups = Classify(address);
  if (groups.Has(Group::kLoopback) || host_addresses_.contains(address)) groups.Add(Group::kHost);
  return groups;
}

Request Judge::RequestOf(Direction direction, Protocol protocol, const IpAddress& address,
                         uint16_t port) const {
  Request request{.direction = direction, .protocol = protocol, .address = address, .port = port};
  if (direction == Direction::kOut && behind_ != nullptr) {
    request.address = behind_(address);
    if (request.address != address) request.dialled = address;
  }
  request.groups = GroupsOf(request.address);
  return request;
}

bool Judge::MustShowName(const Request& request, const Verdict& verdict) const {
  if (NeedOfName(policy_, request) == NameNeed::kAlways) return true;
  if (request.direction == Direction::kIn || request.groups.Has(Group::kMembers)) return false;
  return any_secrets_ && (verdict.rule == kPresetDecided || verdict.by_name);
}

Judge::Decision Judge::Decide(Direction direction, Protocol protocol, const IpAddress& address,
                              uint16_t port, absl::Time now,
                              absl::Span<const std::string> kept) const {
  Decision decision;
  Request request = RequestOf(direction, protocol, address, port);
  std::vector<std::string>& names = decision.names;
  if (direction == Direction::kOut) names = pins_.NamesOf(request.address, now);
  request.names = names;
  request.opened_by = kept;
  decision.verdict = Evaluate(policy_, request);
  if (!names.empty() || !kept.empty()) decision.name = names.empty() ? kept.back() : names.back();
  if (IsUnspecified(address)) decision.detail = "no address of anybody's";
  if (decision.verdict.action == Action::kDeny) return decision;
  const bool must_show = MustShowName(request, decision.verdict);
  decision.checks_name = must_show || NeedOfName(policy_, request) == NameNeed::kIfSaid;
  if (!must_show) return decision;
  if (port == kDnsOverTls) {
    decision.verdict = Denied(decision.verdict);
    decision.detail = "another resolver would know names that this one does not";
  } else if (protocol == Protocol::kUdp && port == kHttps) {
    decision.verdict = Denied(decision.verdict);
    decision.detail = "QUIC hides the name that it asks for";
  }
  return decision;
}

Judge::Decision Judge::DecideHello(const IpAddress& address, uint16_t port,
                                   const ClientHello& hello, absl::Time now,
                                   absl::Span<const std::string> kept) const {
  Decision decision;
  decision.name = hello.server_name;
  Request request = RequestOf(Direction::kOut, Protocol::kTcp, address, port);
  if (!hello.server_name.empty()) decision.names.push_back(hello.server_name);
  const NameNeed need = NeedOfName(policy_, request);
  if (need != NameNeed::kNone) request.names = decision.names;
  decision.verdict = Evaluate(policy_, request);
  const bool must_show = MustShowName(request, decision.verdict);
  const auto deny = [&decision](absl::string_view why) {
    decision.verdict = Denied(decision.verdict);
    decision.detail = std::string(why);
    return decision;
  };
  if (hello.state != ClientHello::State::kWhole && must_show)
    return deny("TLS that cannot be read");
  if (hello.server_name.empty()) {
    const bool denied = decision.verdict.action == Action::kDeny || need == NameNeed::kAlways;
    return denied ? deny("TLS without a name") : decision;
  }
  if (decision.verdict.action == Action::kDeny) return deny("by the name in TLS");
  if (decision.verdict.by_name && !IsAmong(kept, hello.server_name) &&
      !IsKnown(request.address, hello.server_name, now)) {
    return deny("the name in TLS was never resolved to this address");
  }
  const bool resolver =
      port == kDnsOverTls || (!decision.verdict.by_name && IsPublicResolver(hello.server_name));
  if (must_show && resolver) {
    return deny("another resolver would know names that this one does not");
  }
  return decision;
}

bool Judge::MayAnswerWith(const IpAddress& address) const {
  if (IsUnspecified(address)) return false;
  const GroupSet groups = GroupsOf(address);
  if (groups.IsOfOthers()) return true;
  if (policy_.preset == Preset::kAll) return true;
  // Some rule opens it by address, on some port.
  return std::any_of(policy_.rules.begin(), policy_.rules.end(), [&](const Rule& rule) {
    if (rule.action != Action::kAllow || rule.direction != Direction::kOut) return false;
    switch (rule.target.kind) {
      case Target::Kind::kAny:
        return true;
      case Target::Kind::kNetwork:
        return rule.target.network.Contains(address);
      case Target::Kind::kGroup:
        return groups.Has(rule.target.group);
      default:
        return false;
    }
  });
}

absl::Status ReadHostAddresses(Judge& judge) {
  std::vector<IpAddress> addresses;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return absl::ErrnoToStatus(errno, "getifaddrs");
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto* socket = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      addresses.push_back(IpAddress::FromBytes(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&socket->sin_addr), 4)));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const auto* socket = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      addresses.push_back(IpAddress::FromBytes(absl::MakeConstSpan(socket->sin6_addr.s6_addr, 16)));
    }
  }
  ::freeifaddrs(list);
  judge.SetHostAddresses(std::move(addresses));
  return absl::OkStatus();
}

}  // namespace msb::net
