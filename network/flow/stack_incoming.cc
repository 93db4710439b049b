// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stack: who comes in, clients of published ports and other members of private networks; and how
// the guest goes to such a member.

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "network/flow/stack.h"

namespace msb::net {

// --- published ports ---

absl::Status Stack::Publish(const msb::net::v1::Port& port, UniqueFd socket) {
  auto listener = std::make_unique<PortListener>(
      environment_.loop, port, std::move(socket),
      PortListener::Handlers{
          [this](const PortListener& from, UniqueFd client, const SocketAddress& peer) {
            OnClient(from, std::move(client), peer);
          },
          [this](const PortListener& from, Bytes datagram, const SocketAddress& peer) {
            OnDatagram(from, datagram, peer);
          }});
  MSB_RETURN_IF_ERROR(listener->Start());
  ports_.push_back(std::move(listener));
  return absl::OkStatus();
}

absl::Status Stack::Unpublish(const msb::net::v1::Port& port) {
  const auto found = std::find_if(ports_.begin(), ports_.end(), [&](const auto& listener) {
    const msb::net::v1::Port& known = listener->port();
    return known.protocol() == port.protocol() && known.host_port() == port.host_port() &&
           known.host_address() == port.host_address();
  });
  if (found == ports_.end()) return absl::NotFoundError("the port is not published");
  const int fd = (*found)->fd();
  absl::erase_if(udp_, [fd](const auto& entry) { return entry.second->publisher() == fd; });
  ports_.erase(found);
  return absl::OkStatus();
}

FlowKey Stack::KeyOfIncoming(uint16_t guest_port, const SocketAddress& peer) const {
  FlowKey key{guest_port, peer.port(), peer.address()};
  const GroupSet groups = Classify(key.peer);
  // An address that means something else to the guest: the gateway stands for it.
  const bool foreign = groups.Has(Group::kLoopback) || groups.Has(Group::kLinkLocal) ||
                       key.peer == environment_.addresses.GuestFor(key.peer);
  if (foreign) key.peer = environment_.addresses.GatewayFor(key.peer);
  return key;
}

void Stack::OnClient(const PortListener& listener, UniqueFd client, const SocketAddress& peer) {
  const Judge::Decision decision = environment_.judge.Decide(
      Direction::kIn, Protocol::kTcp, peer.address(), listener.guest_port(), absl::Now());
  FlowKey key = KeyOfIncoming(listener.guest_port(), peer);
  FlowLabel label = LabelOf(Direction::kIn, Protocol::kTcp, key, decision);
  const linger reset{.l_onoff = 1, .l_linger = 0};
  if (decision.verdict.action == Action::kDeny || !HasRoom(/*connecting=*/true)) {
    if (decision.verdict.action == Action::kDeny) {
      environment_.audit.Denied(label, decision.detail);
    } else {
      environment_.audit.Failed(label, "too many connections");
    }
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    return;
  }
  // Two addresses of the host look the same to the guest: another port tells them apart.
  for (int i = 0; i < UINT16_MAX && tcp_.contains(key); ++i) ++key.peer_port;
  const IpAddress& guest = environment_.addresses.GuestFor(key.peer);
  auto flow = std::make_unique<TcpFlow>(
      environment_, TcpEnds{guest, key.guest_port, key.peer, key.peer_port}, std::move(label),
      [this](TcpFlow& done) { OnTcpDone(done); });
  TcpFlow& opened = *flow;
  AddTcp(key, std::move(flow));
  opened.Accept(std::move(client));
}

void Stack::OnDatagram(const PortListener& listener, Bytes datagram, const SocketAddress& peer) {
  const FlowKey key = KeyOfIncoming(listener.guest_port(), peer);
  auto found = udp_.find(key);
  if (found == udp_.end()) {
    const Judge::Decision decision = environment_.judge.Decide(
        Direction::kIn, Protocol::kUdp, peer.address(), listener.guest_port(), absl::Now());
    FlowLabel label = LabelOf(Direction::kIn, Protocol::kUdp, key, decision);
    if (decision.verdict.action == Action::kDeny) {
      return environment_.audit.Denied(label, decision.detail);
    }
    if (!HasRoom(/*connecting=*/false)) return environment_.audit.Failed(label, "too many flows");
    const UdpEnds ends{environment_.addresses.GuestFor(key.peer), key.guest_port, key.peer,
                       key.peer_port};
    auto flow = std::make_unique<UdpFlow>(environment_, ends, std::move(label), peer.address(),
                                          peer.port(), listener.fd());
    found = udp_.emplace(key, std::move(flow)).first;
  }
  found->second->ToGuest(datagram);
}

// --- other members of private networks ---

absl::StatusOr<UniqueFd> Stack::OpenThrough(const FlowKey& key, Protocol protocol) {
  using msb::net::v1::PeerFlow;
  PeerFlow flow;
  flow.set_protocol(protocol == Protocol::kTcp ? PeerFlow::PROTOCOL_TCP : PeerFlow::PROTOCOL_UDP);
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall("socketpair", [&] {
    return ::socketpair(AF_UNIX, SocketTypeOf(flow.protocol()) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                        ends);
  }));
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  flow.set_ipv6(!key.peer.is_v4());
  flow.set_source_port(key.guest_port);
  flow.set_destination_port(key.peer_port);
  MSB_RETURN_IF_ERROR(environment_.members.Open(key.peer, flow, theirs.get()));
  return ours;
}

// Half is this guest's own, of connections that are not established as of all (Members).
bool Stack::HasRoomForMember() const {
  const uint32_t limit = std::max(environment_.limits.max_connecting / 2, 1u);
  if (tcp_.size() < limit) return true;
  const auto open = std::count_if(tcp_.begin(), tcp_.end(), [](const auto& entry) {
    return entry.second->from_member() && entry.second->connecting();
  });
  return static_cast<uint32_t>(open) < limit;
}

void Stack::OnMemberFlow(const IpAddress& from, const msb::net::v1::PeerFlow& given,
                         UniqueFd socket, MemberSlot slot) {
  const bool tcp = given.protocol() == msb::net::v1::PeerFlow::PROTOCOL_TCP;
  const Protocol protocol = tcp ? Protocol::kTcp : Protocol::kUdp;
  const FlowKey key{static_cast<uint16_t>(given.destination_port()),
                    static_cast<uint16_t>(given.source_port()), from};
  const Judge::Decision decision =
      environment_.judge.Decide(Direction::kIn, protocol, from, key.guest_port, absl::Now());
  FlowLabel label = LabelOf(Direction::kIn, protocol, key, decision);
  if (decision.verdict.action == Action::kDeny) {
    return environment_.audit.Denied(label, decision.detail);
  }
  if (!HasRoom(/*connecting=*/tcp) || (tcp && !HasRoomForMember())) {
    return environment_.audit.Failed(label, "too many flows");
  }
  const TcpEnds ends{environment_.addresses.GuestFor(from), key.guest_port, from, key.peer_port};
  if (!tcp) {
    auto flow = std::make_unique<UdpFlow>(environment_, ends, std::move(label), from, key.peer_port,
                                          /*publisher=*/-1);
    if (flow->StartThrough(std::move(socket), std::move(slot)).ok()) udp_[key] = std::move(flow);
    return;
  }
  if (tcp_.contains(key)) return environment_.audit.Failed(label, "such a connection is open");
  auto flow = std::make_unique<TcpFlow>(environment_, ends, std::move(label),
                                        [this](TcpFlow& done) { OnTcpDone(done); });
  TcpFlow& opened = *flow;
  AddTcp(key, std::move(flow));
  opened.AcceptMember(std::move(socket), std::move(slot));
}

}  // namespace msb::net
