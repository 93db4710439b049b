// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/port_listener.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::net {
namespace {

constexpr int kDatagramsPerTurn = 32;
constexpr size_t kMaxDatagramBytes = 65535;

}  // namespace

PortListener::PortListener(EventLoop& loop, const msb::net::v1::Port& port, UniqueFd socket,
                           Handlers handlers)
    : loop_(loop), port_(port), socket_(std::move(socket)), handlers_(std::move(handlers)) {}

PortListener::~PortListener() {
  if (!acceptor_.has_value()) loop_.Unwatch(socket_.get());
}

absl::Status PortListener::Start() {
  MSB_RETURN_IF_ERROR(
      Syscall("fcntl", [&] { return ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK); }));
  if (port_.protocol() != msb::net::v1::Port::PROTOCOL_TCP) {
    return loop_.Watch(socket_.get(), EPOLLIN, [this](uint32_t) { OnDatagrams(); });
  }
  acceptor_.emplace(loop_, absl::StrCat("port ", port_.host_port()), socket_.get(),
                    [this](UniqueFd client, const Acceptor::Peer& peer) {
                      handlers_.on_client(*this, std::move(client), {peer.address, peer.size});
                    });
  return acceptor_->Start();
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
