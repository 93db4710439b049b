// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/udp_flow.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::net {
namespace {

constexpr size_t kMaxDatagramBytes = 65535;
constexpr int kDatagramsPerTurn = 32;
constexpr size_t kQuoteBytes = 128;

}  // namespace

UdpFlow::UdpFlow(Environment& environment, const UdpEnds& ends, FlowLabel label,
                 const IpAddress& target, uint16_t target_port, int publisher)
    : environment_(environment),
      ends_(ends),
      label_(std::move(label)),
      target_(SocketAddress::From(target, target_port)),
      publisher_(publisher),
      active_(absl::Now()) {
  environment_.audit.Opened(label_);
}

UdpFlow::~UdpFlow() {
  if (socket_.valid() && !dead_) environment_.loop.Unwatch(socket_.get());
  environment_.audit.Closed(label_, bytes_up_, bytes_down_, "");
}

absl::Status UdpFlow::Start() {
  if (publisher_ >= 0) return absl::OkStatus();
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("socket", [&] {
                         return ::socket(target_.storage.ss_family,
                                         SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                       }));
  UniqueFd socket(fd);
  MSB_RETURN_IF_ERROR(
      Syscall("connect", [&] { return ::connect(fd, target_.get(), target_.size); }));
  MSB_RETURN_IF_ERROR(environment_.loop.Watch(fd, EPOLLIN, [this](uint32_t) { OnSocket(); }));
  socket_ = std::move(socket);
  return absl::OkStatus();
}

absl::Status UdpFlow::StartThrough(UniqueFd socket, MemberSlot slot) {
  MSB_RETURN_IF_ERROR(environment_.loop.Watch(socket.get(), EPOLLIN | EPOLLRDHUP,
                                              [this](uint32_t events) { OnMember(events); }));
  socket_ = std::move(socket);
  slot_ = std::move(slot);
  through_ = true;
  return absl::OkStatus();
}

void UdpFlow::ToHost(const UdpDatagram& datagram, const IpPacket& packet) {
  active_ = absl::Now();
  const Bytes quoted = packet.whole.first(std::min(packet.whole.size(), kQuoteBytes));
  quote_.assign(quoted.begin(), quoted.end());
  bytes_up_ += datagram.payload.size();
  const int fd = publisher_ >= 0 ? publisher_ : socket_.get();
  const ssize_t sent =
      ::sendto(fd, datagram.payload.data(), datagram.payload.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               publisher_ >= 0 ? target_.get() : nullptr, publisher_ >= 0 ? target_.size : 0);
  if (sent >= 0) return;
  // One that the other member's network did not take, or whose service has gone with it.
  const int error = errno;
  const bool gone = through_ && error != EAGAIN && error != ENOBUFS && error != EMSGSIZE;
  if (gone) Die();
  AnswerUnreachable(gone ? ECONNREFUSED : error);
}

// An end of the socket, which would make it ready for ever.
void UdpFlow::Die() {
  if (!std::exchange(dead_, true)) environment_.loop.Unwatch(socket_.get());
}

void UdpFlow::ToGuest(Bytes data) {
  active_ = absl::Now();
  // A datagram may be lost; one that the link has no room for is.
  if (environment_.Congested() || data.size() + kUdpOverheadBytes > environment_.mtu) return;
  bytes_down_ += data.size();
  environment_.down.Take(data.size(), active_);
  environment_.link->Send(BuildUdp(environment_.link_addresses, ends_.peer, ends_.peer_port,
                                   ends_.guest, ends_.guest_port, MakePayload(data)));
}

void UdpFlow::OnSocket() {
  static thread_local std::vector<uint8_t> buffer(kMaxDatagramBytes);
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) return AnswerUnreachable(errno);
    ToGuest({buffer.data(), static_cast<size_t>(got)});
  }
}

void UdpFlow::OnMember(uint32_t events) {
  static thread_local std::vector<uint8_t> buffer(kMaxDatagramBytes);
  const bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == ECONNRESET) continue;  // said once; what came before is still there
    if (got <= 0 && ended) return Die();
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) return Die();
    ToGuest({buffer.data(), static_cast<size_t>(got)});
    if (got == 0) return;  // an empty datagram, or the end, which the next event tells
  }
}

void UdpFlow::AnswerUnreachable(int error) {
  if (error != ECONNREFUSED && error != EHOSTUNREACH && error != ENETUNREACH && error != EACCES &&
      error != EPERM) {
    return;
  }
  const Unreachable why = error == ECONNREFUSED ? Unreachable::kPort : Unreachable::kHost;
  IpPacket packet;
  packet.source = ends_.guest;
  packet.whole = {reinterpret_cast<const uint8_t*>(quote_.data()), quote_.size()};
  environment_.Reply(BuildUnreachable(environment_.link_addresses, why, ends_.peer, packet));
}

}  // namespace msb::net
