// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/control/control_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/descriptors.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::net {

using msb::net::v1::ControlRequest;
using msb::net::v1::ControlResponse;

namespace {

constexpr size_t kMaxDescriptorsHeld = 8;

absl::Status CheckPort(const msb::net::v1::Port& port) {
  const bool known = port.protocol() == msb::net::v1::Port::PROTOCOL_TCP ||
                     port.protocol() == msb::net::v1::Port::PROTOCOL_UDP;
  if (known && port.guest_port() >= 1 && port.guest_port() <= UINT16_MAX) return absl::OkStatus();
  return MakeError(Reason::kInvalidArgument, "a port is tcp or udp, and 1..65535");
}

}  // namespace

ControlServer::ControlServer(EventLoop& loop, UniqueFd listener, Stack& stack, Audit& audit)
    : loop_(loop),
      listener_(std::move(listener)),
      acceptor_(loop, "control", listener_.get(),
                [this](UniqueFd client, const Acceptor::Peer&) { OnConnected(std::move(client)); }),
      stack_(stack),
      audit_(audit) {}

ControlServer::~ControlServer() {
  audit_.set_sink(nullptr);
  for (const auto& client : clients_) loop_.Unwatch(client->socket.get());
}

absl::Status ControlServer::Start() { return acceptor_.Start(); }

void ControlServer::OnConnected(UniqueFd socket) {
  if (clients_.size() >= kMaxClients) return;
  auto client = std::make_unique<Client>();
  client->socket = std::move(socket);
  const absl::Status watched =
      loop_.Watch(client->socket.get(), EPOLLIN,
                  [this, raw = client.get()](uint32_t events) { OnClient(*raw, events); });
  if (watched.ok()) clients_.push_back(std::move(client));
}

void ControlServer::OnClient(Client& client, uint32_t events) {
  absl::Status status;
  if ((events & EPOLLOUT) != 0) {
    client.writable = true;
    status = Flush(client);
  }
  if (status.ok() && (events & ~uint32_t{EPOLLOUT}) != 0) status = Receive(client);
  if (status.ok()) return;
  if (!absl::IsUnavailable(status)) {
    MSB_LOG(kWarning) << "control: " << EscapeForLog(status.message());
  }
  Drop(client);
}

absl::Status ControlServer::Receive(Client& client) {
  std::string bytes(16384, '\0');
  std::vector<UniqueFd> descriptors;
  MSB_ASSIGN_OR_RETURN(const size_t got,
                       ReceiveWithDescriptors(client.socket.get(), bytes, descriptors));
  for (UniqueFd& descriptor : descriptors) client.descriptors.push_back(std::move(descriptor));
  if (client.descriptors.size() > kMaxDescriptorsHeld) {
    return MakeError(Reason::kFrameMalformed, "descriptors that no frame wants");
  }
  client.reader.Append(absl::string_view(bytes).substr(0, got));
  while (true) {
    MSB_ASSIGN_OR_RETURN(const auto frame, client.reader.Next());
    if (!frame.has_value()) return absl::OkStatus();
    MSB_RETURN_IF_ERROR(Handle(client, *frame));
  }
}

absl::Status ControlServer::Handle(Client& client, absl::string_view frame) {
  ControlRequest request;
  if (!request.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return MakeError(Reason::kFrameMalformed, "no ControlRequest");
  }
  ControlResponse response;
  response.set_id(request.id());
  if (const absl::Status status = Execute(client, request, response); !status.ok()) {
    response.mutable_error()->set_reason(static_cast<int>(ReasonOf(status)));
    response.mutable_error()->set_message(std::string(status.message()));
  }
  Send(client, response);
  return client.socket.valid() ? Flush(client) : absl::OkStatus();
}

absl::StatusOr<UniqueFd> ControlServer::TakeDescriptor(Client& client) {
  if (client.descriptors.empty()) {
    return MakeError(Reason::kInvalidArgument, "a request without the socket that belongs to it");
  }
  UniqueFd descriptor = std::move(client.descriptors.front());
  client.descriptors.pop_front();
  return descriptor;
}

absl::Status ControlServer::Execute(Client& client, const ControlRequest& request,
                                    ControlResponse& response) {
  switch (request.request_case()) {
    case ControlRequest::kStatus:
      stack_.FillStatus(*response.mutable_status());
      return absl::OkStatus();
    case ControlRequest::kSetPolicy: {
      const std::vector<std::string> rules(request.set_policy().rules().begin(),
                                           request.set_policy().rules().end());
      MSB_ASSIGN_OR_RETURN(Policy policy, ParsePolicy(request.set_policy().preset(), rules));
      stack_.SetPolicy(std::move(policy));
      break;
    }
    case ControlRequest::kPublish: {
      MSB_ASSIGN_OR_RETURN(UniqueFd socket, TakeDescriptor(client));
      MSB_RETURN_IF_ERROR(CheckPort(request.publish()));
      MSB_RETURN_IF_ERROR(stack_.Publish(request.publish(), std::move(socket)));
      break;
    }
    case ControlRequest::kUnpublish:
      MSB_RETURN_IF_ERROR(stack_.Unpublish(request.unpublish()));
      break;
    case ControlRequest::kWatch:
      client.watch = request.id();
      UpdateSink();
      break;
    case ControlRequest::kSetSecrets:
      MSB_RETURN_IF_ERROR(stack_.SetSecrets(request.set_secrets()));
      break;
    case ControlRequest::kConnectSecrets: {
      MSB_ASSIGN_OR_RETURN(UniqueFd socket, TakeDescriptor(client));
      MSB_RETURN_IF_ERROR(stack_.ConnectSecrets(std::move(socket)));
      break;
    }
    case ControlRequest::kAddMember: {
      MSB_ASSIGN_OR_RETURN(UniqueFd socket, TakeDescriptor(client));
      MSB_RETURN_IF_ERROR(stack_.AddMember(request.add_member(), std::move(socket)));
      break;
    }
    case ControlRequest::REQUEST_NOT_SET:
      return MakeError(Reason::kInvalidArgument, "a request that this version does not know");
  }
  response.mutable_ok();
  return absl::OkStatus();
}

void ControlServer::UpdateSink() {
  const bool watched = std::any_of(clients_.begin(), clients_.end(),
                                   [](const auto& client) { return client->watch.has_value(); });
  if (!watched) return audit_.set_sink(nullptr);
  audit_.set_sink([this](const msb::net::v1::Event& event) { OnEvent(event); });
}

void ControlServer::OnEvent(const msb::net::v1::Event& event) {
  std::vector<Client*> broken;
  for (const auto& client : clients_) {
    if (!client->watch.has_value()) continue;
    if (client->out.size() > kMaxBufferedBytes) {
      audit_.CountLost(1);
      continue;
    }
    ControlResponse response;
    response.set_id(*client->watch);
    *response.mutable_event() = event;
    Send(*client, response);
    if (!Flush(*client).ok()) broken.push_back(client.get());
  }
  // Behind the call that tells us, whose sink a drop may replace.
  if (broken.empty()) return;
  loop_.Post([this, broken] {
    for (const Client* client : broken) {
      const bool known = std::any_of(clients_.begin(), clients_.end(),
                                     [&](const auto& other) { return other.get() == client; });
      if (known) Drop(*client);
    }
  });
}

void ControlServer::Send(Client& client, const ControlResponse& response) {
  AppendFrame(response.SerializeAsString(), client.out);
}

absl::Status ControlServer::Flush(Client& client) {
  while (client.writable && !client.out.empty()) {
    const ssize_t sent = ::send(client.socket.get(), client.out.data(), client.out.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return absl::UnavailableError("the client has gone");
    if (sent < 0) {
      client.writable = false;
      break;
    }
    client.out.erase(0, static_cast<size_t>(sent));
  }
  return loop_.Modify(client.socket.get(),
                      EPOLLIN | (client.writable ? uint32_t{0} : uint32_t{EPOLLOUT}));
}

void ControlServer::Drop(const Client& client) {
  loop_.Unwatch(client.socket.get());
  const auto found = std::find_if(clients_.begin(), clients_.end(),
                                  [&](const auto& known) { return known.get() == &client; });
  if (found != clients_.end()) clients_.erase(found);
  UpdateSink();
}

}  // namespace msb::net
