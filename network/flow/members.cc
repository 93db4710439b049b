// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/members.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::net {

using msb::net::v1::PeerFlow;

namespace {

constexpr size_t kMaxPacketBytes = 256;
constexpr int kFlowsPerTurn = 32;

bool Is(const UniqueFd& socket, int option, int wanted) {
  int value = -1;
  socklen_t size = sizeof(value);
  return ::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

bool IsPort(uint32_t number) { return number >= 1 && number <= UINT16_MAX; }

// Nothing is what its sender calls it before we have looked: another kind of socket would end
// otherwise, or never.
bool IsFlow(const PeerFlow& flow, const std::vector<UniqueFd>& descriptors) {
  const bool known =
      flow.protocol() == PeerFlow::PROTOCOL_TCP || flow.protocol() == PeerFlow::PROTOCOL_UDP;
  return known && IsPort(flow.source_port()) && IsPort(flow.destination_port()) &&
         descriptors.size() == 1 && Is(descriptors[0], SO_DOMAIN, AF_UNIX) &&
         Is(descriptors[0], SO_TYPE, SocketTypeOf(flow.protocol()));
}

// At once, also where its sender has asked for a close that waits until all has been sent.
void Close(std::vector<UniqueFd> descriptors) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  for (const UniqueFd& descriptor : descriptors) {
    ::setsockopt(descriptor.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
}

}  // namespace

Members::~Members() {
  for (const auto& member : members_) loop_.Unwatch(member->socket.get());
}

void Members::SetNames(std::vector<std::string> domains, std::vector<std::string> own_names) {
  domains_ = std::move(domains);
  own_names_ = std::move(own_names);
}

absl::Status Members::Add(const msb::net::v1::Member& given, UniqueFd socket) {
  auto member = std::make_unique<Member>();
  for (const std::string& text : {given.address(), given.address6()}) {
    if (text.empty()) continue;
    const std::optional<IpAddress> address = IpAddress::Parse(text);
    if (!address.has_value()) return MakeError(Reason::kInvalidArgument, "a member's address");
    member->addresses.push_back(*address);
  }
  member->names.assign(given.names().begin(), given.names().end());
  for (const IpAddress& address : member->addresses) {
    if (const auto known = by_address_.find(address); known != by_address_.end()) {
      Remove(*known->second);
    }
  }
  if (members_.size() >= limits_.members) {
    return MakeError(Reason::kLimitExceeded,
                     absl::StrCat("a sandbox reaches at most ", limits_.members,
                                  " others in its private networks ([network] max_members)"));
  }
  member->socket = std::move(socket);
  MSB_RETURN_IF_ERROR(loop_.Watch(member->socket.get(), EPOLLIN,
                                  [this, raw = member.get()](uint32_t) { OnSocket(*raw); }));
  for (const IpAddress& address : member->addresses) by_address_[address] = member.get();
  members_.push_back(std::move(member));
  return absl::OkStatus();
}

void Members::Remove(const Member& member) {
  loop_.Unwatch(member.socket.get());
  for (const IpAddress& address : member.addresses) by_address_.erase(address);
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const auto& known) { return known.get() == &member; });
  if (found != members_.end()) members_.erase(found);
}

std::optional<std::vector<IpAddress>> Members::Resolve(absl::string_view name,
                                                       const std::vector<IpAddress>& own) const {
  const auto has = [name](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (has(own_names_)) return own;
  for (const auto& member : members_) {
    if (has(member->names)) return member->addresses;
  }
  const bool ours = std::any_of(domains_.begin(), domains_.end(), [name](const auto& domain) {
    return name == domain || absl::EndsWith(name, absl::StrCat(".", domain));
  });
  if (ours) return std::vector<IpAddress>();
  return std::nullopt;
}

absl::Status Members::Open(const IpAddress& to, const msb::net::v1::PeerFlow& flow, int socket) {
  const auto found = by_address_.find(to);
  if (found == by_address_.end()) return absl::UnavailableError("the member has gone");
  return SendWithDescriptors(found->second->socket.get(), flow.SerializeAsString(), {socket});
}

void Members::OnSocket(Member& member) {
  for (int i = 0; i < kFlowsPerTurn; ++i) {
    std::string packet(kMaxPacketBytes, '\0');
    std::vector<UniqueFd> descriptors;
    const absl::StatusOr<size_t> got =
        ReceiveWithDescriptors(member.socket.get(), packet, descriptors);
    if (!got.ok()) return Remove(member);
    if (*got == 0) return;
    PeerFlow flow;
    const bool parsed = flow.ParseFromArray(packet.data(), static_cast<int>(*got));
    const auto from =
        std::find_if(member.addresses.begin(), member.addresses.end(),
                     [&](const IpAddress& address) { return address.is_v4() != flow.ipv6(); });
    // What is no flow is dropped, and its descriptors with it: the sender sees that as a refusal.
    if (!parsed || !IsFlow(flow, descriptors) || from == member.addresses.end() ||
        !HasRoom(member)) {
      Close(std::move(descriptors));
      continue;
    }
    on_flow_(*from, flow, std::move(descriptors.front()), {slots_, member.slots});
  }
}

// One copy of each is ours.
bool Members::HasRoom(const Member& member) const {
  const auto taken = [](const std::shared_ptr<const char>& slots) {
    return static_cast<uint32_t>(slots.use_count()) - 1;
  };
  return taken(slots_) < limits_.connections && taken(member.slots) < limits_.connections / 2;
}

}  // namespace msb::net
