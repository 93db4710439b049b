// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/port_listener.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::net {
namespace {

constexpr int kClientsPerTurn = 64;
constexpr int kDatagramsPerTurn = 32;
constexpr size_t kMaxDatagramBytes = 65535;
// Without a free descriptor accept fails until something is closed: not asked all the time.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace

PortListener::PortListener(EventLoop& loop, const msb::net::v1::Port& port, UniqueFd socket,
                           Handlers handlers)
    : loop_(loop), port_(port), socket_(std::move(socket)), handlers_(std::move(handlers)) {}

PortListener::~PortListener() {
  loop_.Cancel(pause_);
  loop_.Unwatch(socket_.get());
}

absl::Status PortListener::Start() {
  MSB_RETURN_IF_ERROR(
      Syscall("fcntl", [&] { return ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK); }));
  const bool tcp = port_.protocol() == msb::net::v1::Port::PROTOCOL_TCP;
  return loop_.Watch(socket_.get(), EPOLLIN,
                     [this, tcp](uint32_t) { tcp ? OnClients() : OnDatagrams(); });
}

void PortListener::OnClients() {
  for (int i = 0; i < kClientsPerTurn; ++i) {
    SocketAddress peer;
    peer.size = sizeof(peer.storage);
    UniqueFd client(::accept4(socket_.get(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client.valid()) {
      handlers_.on_client(*this, std::move(client), peer);
      continue;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    MSB_LOG(kWarning) << "port " << port_.host_port() << ": clients wait, since accept fails";
    if (!loop_.Modify(socket_.get(), 0).ok()) return;
    pause_ = loop_.After(kAcceptPause, [this] {
      const absl::Status resumed = loop_.Modify(socket_.get(), EPOLLIN);
      if (!resumed.ok()) {
        MSB_LOG(kError) << "port " << port_.host_port() << ": " << resumed.message();
      }
    });
    return;
  }
}

void PortListener::OnDatagrams() {
  static thread_local std::vector<uint8_t> buffer(kMaxDatagramBytes);
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    SocketAddress peer;
    peer.size = sizeof(peer.storage);
    const ssize_t got = ::recvfrom(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                   peer.get(), &peer.size);
    if (got < 0) return;
    handlers_.on_datagram(*this, {buffer.data(), static_cast<size_t>(got)}, peer);
  }
}

}  // namespace msb::net
