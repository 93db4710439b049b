// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/control/control_server.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"
#include "vmm/control/control_connection.h"

namespace msb {

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Create(EventLoop& loop,
                                                                     UniqueFd listener,
                                                                     ControlTarget& target,
                                                                     EventJournal& journal,
                                                                     const ControlLimits& limits) {
  std::unique_ptr<ControlServer> server(
      new ControlServer(loop, std::move(listener), target, journal, limits));
  const absl::Status listening = server->Listen();
  if (!listening.ok()) return WithReason(Reason::kHostError, "control socket", listening);
  return server;
}

ControlServer::ControlServer(EventLoop& loop, UniqueFd listener, ControlTarget& target,
                             EventJournal& journal, const ControlLimits& limits)
    : loop_(loop),
      listener_(std::move(listener)),
      target_(target),
      journal_(journal),
      limits_(limits) {}

ControlServer::~ControlServer() {
  if (accept_pause_.has_value()) loop_.Cancel(*accept_pause_);
  loop_.Unwatch(listener_.get());
}

absl::Status ControlServer::Listen() {
  // A client may be gone before it is accepted: the wait for the next one is the loop's.
  MSB_ASSIGN_OR_RETURN(const int flags,
                       Syscall("fcntl", [&] { return ::fcntl(listener_.get(), F_GETFL); }));
  MSB_RETURN_IF_ERROR(
      Syscall("fcntl", [&] { return ::fcntl(listener_.get(), F_SETFL, flags | O_NONBLOCK); }));
  return loop_.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnListenerReady(); });
}

// One client a turn: the loop comes back for the next.
void ControlServer::OnListenerReady() {
  absl::StatusOr<UniqueFd> socket = AcceptUnix(listener_.get(), Blocking::kNo);
  if (socket.ok()) return Admit(*std::move(socket));
  if (absl::IsUnavailable(socket.status())) return;
  MSB_LOG(kWarning) << "control socket: " << socket.status().message();
  loop_.Unwatch(listener_.get());
  accept_pause_ = loop_.After(limits_.accept_pause, [this] {
    accept_pause_.reset();
    const absl::Status listening = Listen();
    if (listening.ok()) return;
    MSB_LOG(kError) << "control socket is lost: " << listening.message();
  });
}

void ControlServer::Admit(UniqueFd socket) {
  if (connections_.size() >= limits_.clients) return;
  const uint64_t id = next_connection_++;
  absl::StatusOr<std::shared_ptr<ControlConnection>> connection = ControlConnection::Create(
      loop_, std::move(socket), target_, journal_, limits_, [this, id] { connections_.erase(id); });
  if (!connection.ok()) {
    MSB_LOG(kWarning) << "control client: " << connection.status().message();
    return;
  }
  connections_.emplace(id, *std::move(connection));
}

}  // namespace msb
