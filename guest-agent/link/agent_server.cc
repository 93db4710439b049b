// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/agent_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/link/control_operation.h"
#include "guest-agent/link/exec_operation.h"
#include "guest-agent/link/socket_channel.h"
#include "guest-agent/link/vsock.h"
#include "guest-agent/link/wire.h"

namespace msb {

using agent::v1::Open;

AgentServer::AgentServer(const Services& services, const ServerLimits& limits)
    : services_(services),
      limits_(limits),
      opener_([this](Connection& connection, const Open& open) {
        return OpenOperation(connection, open);
      }),
      file_workers_(limits.file_workers),
      watch_workers_(limits.watches) {}

AgentServer::~AgentServer() {
  if (accepting_) services_.loop.Unwatch(listener_.get());
}

absl::Status AgentServer::Listen(UniqueFd listener) {
  listener_ = std::move(listener);
  MSB_RETURN_IF_ERROR(
      services_.loop.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnAcceptable(); }));
  accepting_ = true;
  return absl::OkStatus();
}

void AgentServer::OnAcceptable() {
  closed_.clear();
  sockaddr_storage peer{};
  socklen_t peer_bytes = sizeof(peer);
  UniqueFd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &peer_bytes,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
  // Not valid: a connection that has gone again; the loop asks anew for others.
  if (socket.valid() && IsHost(peer)) Serve(std::move(socket)).IgnoreError();
}

absl::Status AgentServer::Serve(UniqueFd socket) {
  const auto place = connections_.emplace(connections_.end());
  *place = std::make_unique<Connection>(services_.loop, std::move(socket), opener_,
                                        [this, place] { OnClosed(place); });
  const absl::Status started = (*place)->Start();
  if (!started.ok()) connections_.erase(place);
  // At the limit the next ones wait in the backlog, until one of these closes.
  if (accepting_ && connections_.size() >= limits_.connections) {
    services_.loop.Unwatch(listener_.get());
    accepting_ = false;
  }
  return started;
}

void AgentServer::OnClosed(Connections::iterator place) {
  closed_.splice(closed_.end(), connections_, place);
  if (!accepting_ && listener_.valid()) {
    accepting_ =
        services_.loop.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnAcceptable(); }).ok();
  }
}

absl::StatusOr<std::unique_ptr<Operation>> AgentServer::OpenOperation(Connection& connection,
                                                                      const Open& open) {
  if (refusing_ && !open.has_control()) {
    return MakeError(Reason::kSandboxNotRunning, "the guest is shutting down");
  }
  switch (open.operation_case()) {
    case Open::kControl:
      return std::unique_ptr<Operation>(std::make_unique<ControlOperation>(
          connection, services_.execs, file_workers_, services_.guest));
    case Open::kExec:
      return ExecOperation::Exec(connection, services_.execs, open.exec());
    case Open::kAttach:
      return ExecOperation::Attach(connection, services_.execs, open.attach());
    case Open::OPERATION_NOT_SET:
      return MakeError(Reason::kAgentProtocol, "an operation that this agent does not know");
    default:
      MSB_RETURN_IF_ERROR(RunFileOperation(connection, open));
      return std::unique_ptr<Operation>();
  }
}

absl::Status AgentServer::RunFileOperation(Connection& connection, const Open& open) {
  WorkerPool& workers = open.has_watch() ? watch_workers_ : file_workers_;
  if (open.has_watch() && workers.busy() >= limits_.watches) {
    return MakeError(Reason::kLimitExceeded,
                     absl::StrCat(limits_.watches, " directories are watched already"));
  }
  auto channel =
      std::make_shared<SocketChannel>(connection.ReleaseSocket(), connection.ReleaseInput());
  const bool running = workers.Run([channel, open, &users = services_.users] {
    const absl::StatusOr<agent::v1::Done> done = RunFileRequest(open, users, *channel);
    agent::v1::AgentFrame last;
    if (done.ok()) {
      *last.mutable_done() = *done;
    } else {
      last = ErrorFrame(done.status());
    }
    channel->Finish(last);
  });
  if (!running) {
    MSB_RETURN_IF_ERROR(channel->Send(
        ErrorFrame(MakeError(Reason::kLimitExceeded, "the guest has no more threads"))));
    MSB_RETURN_IF_ERROR(channel->Flush());
  }
  return absl::OkStatus();
}

}  // namespace msb
