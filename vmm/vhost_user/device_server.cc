// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/device_server.h"

#include <sys/epoll.h>

#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"

namespace msb::vhost_user {

absl::StatusOr<std::unique_ptr<DeviceServer>> DeviceServer::Create(
    EventLoop& loop, UniqueFd socket, VirtioDevice& device, MemoryTables& tables, OnEnd on_end,
    Session::OnConfigChange on_config_changed) {
  std::unique_ptr<DeviceServer> server(new DeviceServer(
      loop, std::move(socket), device, tables, std::move(on_end), std::move(on_config_changed)));
  MSB_RETURN_IF_ERROR(loop.Watch(server->socket_.get(), EPOLLIN,
                                 [raw = server.get()](uint32_t) { raw->OnReadable(); }));
  return server;
}

DeviceServer::DeviceServer(EventLoop& loop, UniqueFd socket, VirtioDevice& device,
                           MemoryTables& tables, OnEnd on_end,
                           Session::OnConfigChange on_config_changed)
    : loop_(loop),
      socket_(std::move(socket)),
      on_end_(std::move(on_end)),
      session_(std::make_unique<Session>(loop, device, tables, std::move(on_config_changed))) {}

DeviceServer::~DeviceServer() { loop_.Unwatch(socket_.get()); }

void DeviceServer::OnReadable() {
  absl::Status status = ServePending();
  if (status.ok()) return;
  const bool explained = absl::IsUnavailable(status) || ReasonOf(status) != Reason::kUnspecified;
  if (!explained) status = WithReason(Reason::kQemuError, "vhost-user", status);
  loop_.Unwatch(socket_.get());
  session_.reset();
  socket_.Reset();
  const OnEnd on_end = std::move(on_end_);
  on_end(std::move(status));  // may have destroyed us
}

absl::Status DeviceServer::ServePending() {
  for (int served = 0; served < kMaxMessagesPerTurn; ++served) {
    MSB_ASSIGN_OR_RETURN(std::optional<Message> message, reader_.Next(socket_.get()));
    if (!message.has_value()) return absl::OkStatus();
    const Request request = message->request;
    MSB_ASSIGN_OR_RETURN(const std::string reply, session_->Handle(*std::move(message)));
    if (!reply.empty()) MSB_RETURN_IF_ERROR(SendReply(socket_.get(), request, reply));
  }
  return absl::OkStatus();  // the rest is still in the socket, which is watched by level
}

}  // namespace msb::vhost_user
