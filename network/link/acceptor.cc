// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/link/acceptor.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace msb::net {
namespace {

constexpr int kClientsPerTurn = 64;
constexpr absl::Duration kPause = absl::Milliseconds(100);

}  // namespace

Acceptor::Acceptor(EventLoop& loop, std::string name, int listener, OnClient on_client)
    : loop_(loop), name_(std::move(name)), listener_(listener), on_client_(std::move(on_client)) {}

Acceptor::~Acceptor() {
  loop_.Cancel(pause_);
  loop_.Unwatch(listener_);
}

absl::Status Acceptor::Start() {
  return loop_.Watch(listener_, EPOLLIN, [this](uint32_t) { OnReady(); });
}

void Acceptor::OnReady() {
  for (int i = 0; i < kClientsPerTurn; ++i) {
    Peer peer;
    UniqueFd client(::accept4(listener_, reinterpret_cast<sockaddr*>(&peer.address), &peer.size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!client.valid()) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) Pause();
      return;
    }
    failing_ = false;
    on_client_(std::move(client), peer);
  }
}

void Acceptor::Pause() {
  if (!std::exchange(failing_, true)) {
    MSB_LOG(kWarning) << name_ << ": clients wait, since accept fails: " << std::strerror(errno);
  }
  if (!loop_.Modify(listener_, 0).ok()) return;
  pause_ = loop_.After(kPause, [this] {
    const absl::Status resumed = loop_.Modify(listener_, EPOLLIN);
    if (!resumed.ok()) {
      MSB_LOG(kError) << name_ << ": " << resumed.message();
    }
  });
}

}  // namespace msb::net
