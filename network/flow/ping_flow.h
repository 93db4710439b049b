// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Echo requests of the guest to one peer, by a ping socket of the host's (where its administrator
// lets this user have one: net.ipv4.ping_group_range).

#ifndef MSB_NETWORK_FLOW_PING_FLOW_H_
#define MSB_NETWORK_FLOW_PING_FLOW_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "network/flow/environment.h"

namespace msb::net {

class PingFlow {
 public:
  // `peer` as the guest names it, `target` whom it stands for. All references outlive the flow.
  PingFlow(Environment& environment, const IpAddress& peer, const IpAddress& target, uint16_t id);
  PingFlow(const PingFlow&) = delete;
  PingFlow& operator=(const PingFlow&) = delete;
  ~PingFlow();

  // kPermissionDenied where the host gives no ping sockets.
  absl::Status Start();
  void ToHost(const IcmpEcho& request);
  // What the host's socket got: a whole ICMP message.
  void ToGuest(Bytes message);
  bool ExpiredAt(absl::Time now) const;

 private:
  void OnSocket();

  Environment& environment_;
  const IpAddress peer_;
  const SocketAddress target_;
  const uint16_t id_;
  UniqueFd socket_;
  absl::Time active_;
};

inline constexpr uint8_t kEchoRequestV4 = 8;
inline constexpr uint8_t kEchoReplyV4 = 0;
inline constexpr uint8_t kEchoRequestV6 = 128;
inline constexpr uint8_t kEchoReplyV6 = 129;
// A whole ICMP message, its checksum zero.
std::string MakeEcho(uint8_t type, uint16_t id, uint16_t sequence, Bytes data);

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_PING_FLOW_H_
