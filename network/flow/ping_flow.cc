// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/ping_flow.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::net {
namespace {

constexpr absl::Duration kIdle = absl::Minutes(1);
constexpr size_t kMaxMessageBytes = 65535;

}  // namespace

std::string MakeEcho(uint8_t type, uint16_t id, uint16_t sequence, Bytes data) {
  std::string message(8, '\0');
  auto* const bytes = reinterpret_cast<uint8_t*>(message.data());
  bytes[0] = type;
  Store16(id, bytes + 4);
  Store16(sequence, bytes + 6);
  message.append(data.begin(), data.end());
  return message;
}

PingFlow::PingFlow(Environment& environment, const IpAddress& peer, const IpAddress& target,
                   uint16_t id)
    : environment_(environment),
      peer_(peer),
      target_(SocketAddress::From(target, 0)),
      id_(id),
      active_(absl::Now()) {}

PingFlow::~PingFlow() {
  if (socket_.valid()) environment_.loop.Unwatch(socket_.get());
}

absl::Status PingFlow::Start() {
  const bool v4 = target_.storage.ss_family == AF_INET;
  MSB_ASSIGN_OR_RETURN(
      const int fd, Syscall("socket", [&] {
        return ::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                        v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6));
      }));
  UniqueFd socket(fd);
  MSB_RETURN_IF_ERROR(
      Syscall("connect", [&] { return ::connect(fd, target_.get(), target_.size); }));
  MSB_RETURN_IF_ERROR(environment_.loop.Watch(fd, EPOLLIN, [this](uint32_t) { OnSocket(); }));
  socket_ = std::move(socket);
  return absl::OkStatus();
}

void PingFlow::ToHost(const IcmpEcho& request) {
  active_ = absl::Now();
  // The kernel puts the socket's own id and the checksum in.
  const std::string message = MakeEcho(request.type, 0, request.sequence, request.data);
  [[maybe_unused]] const ssize_t sent =
      ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void PingFlow::OnSocket() {
  static thread_local std::vector<uint8_t> buffer(kMaxMessageBytes);
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got > 0) ToGuest({buffer.data(), static_cast<size_t>(got)});
}

void PingFlow::ToGuest(Bytes message) {
  // The peer may answer with more than it was asked, and than a frame can carry.
  if (message.size() + (peer_.is_v4() ? 20 : 40) > environment_.mtu) return;
  const std::optional<IcmpEcho> echo = ParseEcho(message);
  const uint8_t reply = peer_.is_v4() ? kEchoReplyV4 : kEchoReplyV6;
  if (!echo.has_value() || echo->type != reply || environment_.Congested()) return;
  active_ = absl::Now();
  environment_.link->Send(BuildIcmp(environment_.link_addresses, peer_,
                                    environment_.addresses.GuestFor(peer_),
                                    MakeEcho(reply, id_, echo->sequence, echo->data)));
}

bool PingFlow::ExpiredAt(absl::Time now) const { return now - active_ > kIdle; }

}  // namespace msb::net
