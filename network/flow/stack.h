// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guest's network: takes its frames apart, decides, and hands what may pass to a flow. Answers
// ARP and neighbour discovery for the gateway, and DNS wherever the guest sends it.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_FLOW_STACK_H_
#define MSB_NETWORK_FLOW_STACK_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/net/v1/net.pb.h"
#include "network/flow/environment.h"
#include "network/flow/ping_flow.h"
#include "network/flow/port_listener.h"
#include "network/flow/resolver.h"
#include "network/flow/tcp_flow.h"
#include "network/flow/udp_flow.h"

namespace msb::net {

struct FlowKey {
  uint16_t guest_port = 0;
  uint16_t peer_port = 0;
  IpAddress peer;  // as the guest names it

  friend bool operator==(const FlowKey&, const FlowKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const FlowKey& key) {
    return H::combine(std::move(state), key.guest_port, key.peer_port, key.peer);
  }
};

class Stack {
 public:
  // `environment` outlives the stack; its link is set by the time that frames come.
  explicit Stack(Environment& environment);
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack();

  // The handlers of the link.
  void OnFrame(Bytes frame);
  void OnBatchEnd();
  void OnDrained();

  // Replaces the policy; flows that it denies are reset at once, but those of published ports.
  void SetPolicy(Policy policy);
  // Where secrets go, from the next connection on.
  absl::Status SetSecrets(const msb::net::v1::SecretHosts& hosts);
  absl::Status ConnectSecrets(UniqueFd socket) {
    return environment_.secrets.Connect(std::move(socket));
  }
  absl::Status Publish(const msb::net::v1::Port& port, UniqueFd socket);
  // kNotFound when it is not published.
  absl::Status Unpublish(const msb::net::v1::Port& port);
  absl::Status AddMember(const msb::net::v1::Member& member, UniqueFd socket) {
    return environment_.members.Add(member, std::move(socket));
  }
  void FillStatus(msb::net::v1::Status& status) const;

 private:
  void OnArp(Bytes bytes);
  void OnIp(const IpPacket& packet);
  void OnNeighbourSolicitation(const IpPacket& packet);
  void OnTcp(const IpPacket& packet);
  void OpenTcp(const FlowKey& key, const TcpSegment& syn, const IpPacket& packet);
  void RefuseTcp(const FlowKey& key, const TcpSegment& segment, const IpPacket& packet);
  void OnUdp(const IpPacket& packet);
  UdpFlow* OpenUdp(const FlowKey& key, const IpPacket& packet);
  void OnDns(const FlowKey& key, const UdpDatagram& datagram);
  void OnEcho(const IpPacket& packet);
  PingFlow* OpenPing(const FlowKey& key, const IpPacket& packet);
  FlowLabel LabelOf(Direction direction, Protocol protocol, const FlowKey& key,
                    const Judge::Decision& decision) const;
  void AddTcp(const FlowKey& key, std::unique_ptr<TcpFlow> flow);
  void OnTcpDone(TcpFlow& flow);
  void Sweep();
  // Whether the policy, which is new, lets a connection stand.
  bool MayGoOn(const TcpFlow& flow) const;
  bool MayGoOn(const FlowKey& key, const UdpFlow& flow) const;
  void Throttle(size_t bytes);
  bool HasRoom(bool connecting) const;

  // stack_incoming.cc
  void OnClient(const PortListener& listener, UniqueFd client, const SocketAddress& peer);
  void OnDatagram(const PortListener& listener, Bytes datagram, const SocketAddress& peer);
  // A connection or a flow of another member's.
  void OnMemberFlow(const IpAddress& from, const msb::net::v1::PeerFlow& flow, UniqueFd socket,
                    MemberSlot slot);
  // A socket of ours whose other end the member behind `key` has. kUnavailable.
  absl::StatusOr<UniqueFd> OpenThrough(const FlowKey& key, Protocol protocol);
  // The peer of somebody who comes in, as the guest sees it.
  FlowKey KeyOfIncoming(uint16_t guest_port, const SocketAddress& peer) const;
  // HasRoom of connections that members begin, for whom less is there.
  bool HasRoomForMember() const;

  Environment& environment_;
  Resolver resolver_;
  absl::flat_hash_map<FlowKey, std::unique_ptr<TcpFlow>> tcp_;
  absl::flat_hash_map<FlowKey, std::unique_ptr<UdpFlow>> udp_;
  absl::flat_hash_map<FlowKey, std::unique_ptr<PingFlow>> ping_;
  std::vector<std::unique_ptr<TcpFlow>> buried_;  // ended; destroyed outside of their own calls
  absl::flat_hash_set<TcpFlow*> touched_;         // by frames of this turn
  std::vector<std::unique_ptr<PortListener>> ports_;
  TokenBucket up_bytes_;
  TokenBucket up_packets_;
  EventLoop::TimerId sweep_timer_{};
  EventLoop::TimerId bury_timer_{};
  EventLoop::TimerId throttle_timer_{};
  absl::Time host_addresses_read_ = absl::InfinitePast();
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_STACK_H_
