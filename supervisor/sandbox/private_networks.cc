// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/private_networks.h"

#include <sys/socket.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "supervisor/sandbox/network.h"

namespace msb {
namespace {

constexpr size_t kMaxNameBytes = 63;  // a label of DNS
// Kept free by ICANN for uses like this one.
constexpr char kDomain[] = ".internal";

// Each sandbox has one address in all its networks, made of its slot: 198.19.0.0/16 (RFC 2544) is
// on no network that a guest may want to reach, and fd6d:7362:1::/48 is a local prefix of our own.
std::string AddressOf(uint32_t slot) {
  return absl::StrFormat("198.19.%d.%d", (slot + 1) >> 8, (slot + 1) & 0xff);
}
std::string Address6Of(uint32_t slot) { return absl::StrFormat("fd6d:7362:1::%x", slot + 1); }

std::string DomainOf(const std::string& network) { return absl::StrCat(network, kDomain); }

bool IsIn(const msb::v1::SandboxSpec& spec, const std::string& network) {
  const auto& networks = spec.network().private_networks();
  return std::find(networks.begin(), networks.end(), network) != networks.end();
}

}  // namespace

absl::Status ValidatePrivateNetworkName(absl::string_view name) {
  const auto allowed = [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  };
  if (!name.empty() && name.size() <= kMaxNameBytes && name.front() != '-' && name.back() != '-' &&
      std::all_of(name.begin(), name.end(), allowed)) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kInvalidName,
                   absl::StrCat("the network name '", EscapeForLog(name.substr(0, kMaxNameBytes)),
                                "' must have 1 to ", kMaxNameBytes,
                                " lower-case letters, digits and inner hyphens"));
}

absl::Status CheckPrivateNetworks(const msb::v1::Network& network) {
  std::set<std::string> names;
  for (const std::string& name : network.private_networks()) {
    MSB_RETURN_IF_ERROR(ValidatePrivateNetworkName(name));
    if (!names.insert(name).second) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("the private network ", name, " is there twice"));
    }
  }
  if (names.size() <= kMaxPrivateNetworksOfSandbox) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("at most ", kMaxPrivateNetworksOfSandbox, " private networks"));
}

void AddOwnNames(const msb::v1::SandboxSpec& spec, msb::net::v1::NetSpec& net) {
  if (spec.network().private_networks().empty()) return;
  net.add_own_names(spec.name());
  for (const std::string& network : spec.network().private_networks()) {
    net.add_private_domains(DomainOf(network));
    net.add_own_names(absl::StrCat(spec.name(), ".", DomainOf(network)));
  }
}

msb::net::v1::Member MemberOf(const SandboxRecord& sandbox, const SandboxRecord& seen_by) {
  msb::net::v1::Member member;
  if (sandbox.owner_uid != seen_by.owner_uid || sandbox.id == seen_by.id) return member;
  for (const std::string& network : sandbox.spec.network().private_networks()) {
    if (!IsIn(seen_by.spec, network)) continue;
    if (member.names().empty()) member.add_names(sandbox.spec.name());
    member.add_names(absl::StrCat(sandbox.spec.name(), ".", DomainOf(network)));
  }
  member.set_address(AddressOf(sandbox.slot));
  member.set_address6(Address6Of(sandbox.slot));
  return member;
}

absl::Status Introduce(const std::string& control_socket, const msb::net::v1::Member& member,
                       const UniqueFd& end, absl::Duration timeout) {
  msb::net::v1::ControlRequest request;
  *request.mutable_add_member() = member;
  return AskNetwork(control_socket, std::move(request), end.get(), timeout).status();
}

absl::StatusOr<UniqueFd> Introduce(const std::string& control_socket,
                                   const msb::net::v1::Member& member, absl::Duration timeout) {
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall(
      "socketpair", [&] { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }));
  const UniqueFd given(ends[0]);
  UniqueFd kept(ends[1]);
  MSB_RETURN_IF_ERROR(Introduce(control_socket, member, given, timeout));
  return kept;
}

absl::Status PrivateNetworks::Recover() {
  MSB_ASSIGN_OR_RETURN(const auto records, store_.LoadPrivateNetworks());
  for (const PrivateNetworkRecord& record : records) {
    networks_.insert_or_assign(Key{record.owner_uid, record.name}, record);
  }
  return absl::OkStatus();
}

absl::StatusOr<msb::v1::PrivateNetwork> PrivateNetworks::Create(const Caller& caller,
                                                                const std::string& name) {
  MSB_RETURN_IF_ERROR(ValidatePrivateNetworkName(name));
  if (networks_.contains(Key{caller.uid, name})) {
    return MakeError(Reason::kPrivateNetworkNameTaken,
                     absl::StrCat("there is a private network '", name, "' already"));
  }
  const auto first = networks_.lower_bound(Key{caller.uid, ""});
  const auto last = networks_.upper_bound(Key{caller.uid, std::string(kMaxNameBytes + 1, '~')});
  if (static_cast<size_t>(std::distance(first, last)) >= kMaxPrivateNetworksOfUser) {
    return MakeError(Reason::kLimitExceeded, absl::StrCat("at most ", kMaxPrivateNetworksOfUser,
                                                          " private networks of one user"));
  }
  const PrivateNetworkRecord record{
      .owner_uid = caller.uid, .name = name, .created_at = absl::Now()};
  MSB_RETURN_IF_ERROR(store_.AddPrivateNetwork(record));
  networks_.insert_or_assign(Key{caller.uid, name}, record);
  return ViewOf(record);
}

msb::v1::ListPrivateNetworksResponse PrivateNetworks::List(const Caller& caller) const {
  msb::v1::ListPrivateNetworksResponse response;
  for (const auto& [key, record] : networks_) {
    if (caller.MaySee(record.owner_uid)) *response.add_networks() = ViewOf(record);
  }
  std::sort(response.mutable_networks()->begin(), response.mutable_networks()->end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return response;
}

absl::Status PrivateNetworks::Remove(const Caller& caller, const std::string& name) {
  const auto found = networks_.find(Key{caller.uid, name});
  if (found == networks_.end()) {
    return MakeError(Reason::kPrivateNetworkNotFound,
                     absl::StrCat("you have no private network '", EscapeForLog(name), "'"));
  }
  const std::vector<std::string> members = members_of_(caller.uid, name);
  if (!members.empty()) {
    return MakeError(Reason::kPrivateNetworkInUse,
                     absl::StrCat("members of ", name, ": ", absl::StrJoin(members, ", ")));
  }
  MSB_RETURN_IF_ERROR(store_.DeletePrivateNetwork(caller.uid, name));
  networks_.erase(found);
  return absl::OkStatus();
}

absl::Status PrivateNetworks::Check(const Caller& caller, const msb::v1::Network& network) const {
  for (const std::string& name : network.private_networks()) {
    if (networks_.contains(Key{caller.uid, name})) continue;
    return MakeError(
        Reason::kPrivateNetworkNotFound,
        absl::StrCat("you have no private network '", name, "': msbctl network create ", name));
  }
  return absl::OkStatus();
}

msb::v1::PrivateNetwork PrivateNetworks::ViewOf(const PrivateNetworkRecord& record) const {
  msb::v1::PrivateNetwork view;
  view.set_name(record.name);
  view.set_owner_uid(record.owner_uid);
  const int64_t ns = absl::ToUnixNanos(record.created_at);
  view.mutable_created_at()->set_seconds(ns / 1'000'000'000);
  view.mutable_created_at()->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
  for (std::string& member : members_of_(record.owner_uid, record.name)) {
    view.add_sandboxes(std::move(member));
  }
  return view;
}

}  // namespace msb
