// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What every flow of a guest uses.

#ifndef MSB_NETWORK_FLOW_ENVIRONMENT_H_
#define MSB_NETWORK_FLOW_ENVIRONMENT_H_

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "network/flow/audit.h"
#include "network/flow/judge.h"
#include "network/flow/limits.h"
#include "network/flow/members.h"
#include "network/flow/secrets_link.h"
#include "network/link/frame_stream.h"
#include "network/packet/frame_builder.h"

namespace msb::net {

struct Addresses {
  IpAddress guest_v4;  // "::" where the guest has none
  IpAddress gateway_v4;
  IpAddress guest_v6;
  IpAddress gateway_v6;

  const IpAddress& GuestFor(const IpAddress& peer) const {
    return peer.is_v4() ? guest_v4 : guest_v6;
  }
  const IpAddress& GatewayFor(const IpAddress& peer) const {
    return peer.is_v4() ? gateway_v4 : gateway_v6;
  }
  bool IsGateway(const IpAddress& address) const {
    return address == gateway_v4 || address == gateway_v6;
  }
};

struct Environment {
  EventLoop& loop;
  Addresses addresses;
  LinkAddresses link_addresses;
  uint16_t mtu;
  FlowLimits limits;
  std::vector<IpAddress> dns_servers;
  Judge judge;
  Audit audit;
  SecretsLink secrets{loop, audit};
  Members members{loop};
  std::unique_ptr<FrameStream> link;
  TokenBucket down{0};
  // Calls those who stopped reading again.
  std::function<void()> on_room;
  bool room_timer_armed = false;

  // Whether those who read for the guest should stop for now.
  bool Congested() { return link->congested() || down.Wait(absl::Now()) > absl::ZeroDuration(); }
  // Answers a frame of the guest's, also behind a download that fills the link; dropped only for a
  // guest that takes nothing, before the bytes of connections are.
  void Reply(Frame frame) {
    if (link->takes_answers()) link->Send(std::move(frame));
  }
  // The same for who waits then: true promises on_room, or the link's on_drained.
  bool WaitForRoom();
  // The address that the guest's packets to `destination` go to: the gateway stands for the host's
  // loopback.
  IpAddress Behind(const IpAddress& destination) const;
};

// Of the host's sockets.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  static SocketAddress From(const IpAddress& address, uint16_t port);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  IpAddress address() const;
  uint16_t port() const;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_ENVIRONMENT_H_
