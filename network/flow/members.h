// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The other members of the guest's private networks: their names, their addresses, and a socket to
// each one's msb-net (proto/msb/net/v1/peer.proto). What crosses it is connections, never frames: a
// member cannot send what this guest's own wire would not carry, and it is whom the daemon says
// that the socket leads to.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_FLOW_MEMBERS_H_
#define MSB_NETWORK_FLOW_MEMBERS_H_

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/net/v1/net.pb.h"
#include "msb/net/v1/peer.pb.h"
#include "network/policy/address.h"

namespace msb::net {

// A part of what the members may have open with this guest at once, all together and each of them;
// freed with its last copy.
struct MemberSlot {
  std::shared_ptr<const char> of_all;
  std::shared_ptr<const char> of_member;
};

// Of the sockets that carry a protocol's flows between members. Datagrams keep their bounds on a
// SOCK_SEQPACKET too, whose end shows.
constexpr int SocketTypeOf(msb::net::v1::PeerFlow::Protocol protocol) {
  return protocol == msb::net::v1::PeerFlow::PROTOCOL_TCP ? SOCK_STREAM : SOCK_SEQPACKET;
}

class Members {
 public:
  // A connection from the member with address `from`, by `flow`, over `socket`.
  using OnFlow = std::function<void(const IpAddress& from, const msb::net::v1::PeerFlow& flow,
                                    UniqueFd socket, MemberSlot slot)>;

  explicit Members(EventLoop& loop) : loop_(loop) {}
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;
  ~Members();

  void SetNames(std::vector<std::string> domains, std::vector<std::string> own_names);
  void set_on_flow(OnFlow on_flow) { on_flow_ = std::move(on_flow); }
  // Members at once, and connections at once that they may have with this guest, of which one may
  // have half; further ones are refused.
  struct Limits {
    uint32_t members = 256;
    uint32_t connections = 1024;
  };
  void set_limits(const Limits& limits) { limits_ = limits; }

  // In place of an earlier one with one of its addresses. kInvalidArgument, kLimitExceeded.
  absl::Status Add(const msb::net::v1::Member& member, UniqueFd socket);
  bool Has(const IpAddress& address) const { return by_address_.contains(address); }

  // What a name stands for: nullopt, it is none of ours to answer; empty, nobody has it.
  std::optional<std::vector<IpAddress>> Resolve(absl::string_view name,
                                                const std::vector<IpAddress>& own) const;

  // Hands `socket` to the member at `to`. kUnavailable: it has gone, or does not keep up.
  absl::Status Open(const IpAddress& to, const msb::net::v1::PeerFlow& flow, int socket);

 private:
  struct Member {
    std::vector<std::string> names;
    std::vector<IpAddress> addresses;
    UniqueFd socket;
    std::shared_ptr<const char> slots = std::make_shared<const char>();
  };

  void OnSocket(Member& member);
  bool HasRoom(const Member& member) const;
  void Remove(const Member& member);

  EventLoop& loop_;
  OnFlow on_flow_;
  Limits limits_;
  // Of all, those that have gone or come anew among them.
  const std::shared_ptr<const char> slots_ = std::make_shared<const char>();
  std::vector<std::string> domains_;
  std::vector<std::string> own_names_;
  std::vector<std::unique_ptr<Member>> members_;
  absl::flat_hash_map<IpAddress, Member*> by_address_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_MEMBERS_H_
