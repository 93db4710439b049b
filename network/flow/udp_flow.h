// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The datagrams between one port of the guest and one peer: a connected socket of the host's, or
// the published port that the peer sent to.

#ifndef MSB_NETWORK_FLOW_UDP_FLOW_H_
#define MSB_NETWORK_FLOW_UDP_FLOW_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "network/flow/environment.h"
#include "network/tcp/connection.h"

namespace msb::net {

using UdpEnds = TcpEnds;

class UdpFlow {
 public:
  // All references outlive the flow. `publisher`: of a published port, whose socket sends our
  // answers; -1: none.
  UdpFlow(Environment& environment, const UdpEnds& ends, FlowLabel label, const IpAddress& target,
          uint16_t target_port, int publisher);
  UdpFlow(const UdpFlow&) = delete;
  UdpFlow& operator=(const UdpFlow&) = delete;
  ~UdpFlow();

  absl::Status Start();
  // The same with a socket of SOCK_SEQPACKET that leads to another member; `slot` when it is the
  // member's own flow.
  absl::Status StartThrough(UniqueFd socket, MemberSlot slot);
  // The other side has closed: another flow has to take its place.
  bool dead() const { return dead_; }
  // Of the guest. `packet` is kept in part, to be quoted if nobody listens there.
  void ToHost(const UdpDatagram& datagram, const IpPacket& packet);
  void ToGuest(Bytes data);
  bool ExpiredAt(absl::Time now) const { return now - active_ > environment_.limits.udp_idle; }
  int publisher() const { return publisher_; }
  // Of another member of a private network, who began it.
  bool from_member() const { return slot_.of_all != nullptr; }
  // That our resolver knew for its peer when it began.
  void set_names(std::vector<std::string> names) { names_ = std::move(names); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  void OnSocket();
  void OnMember(uint32_t events);
  void Die();
  void AnswerUnreachable(int error);

  Environment& environment_;
  const UdpEnds ends_;
  const FlowLabel label_;
  const SocketAddress target_;
  const int publisher_;
  UniqueFd socket_;
  MemberSlot slot_;
  std::vector<std::string> names_;
  bool through_ = false;
  bool dead_ = false;
  std::string quote_;  // the beginning of the guest's last packet
  uint64_t bytes_up_ = 0;
  uint64_t bytes_down_ = 0;
  absl::Time active_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_UDP_FLOW_H_
