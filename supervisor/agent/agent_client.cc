// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/agent/agent_client.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/frames.h"

namespace msb {
namespace {

using msb::agent::v1::ControlRequest;
using msb::agent::v1::HostFrame;
using msb::agent::v1::Open;

constexpr size_t kFirstSweep = 16;

HostFrame FrameOf(Open open) {
  open.set_protocol_version(msb::agent::v1::WIRE_PROTOCOL_VERSION);
  HostFrame frame;
  *frame.mutable_open() = std::move(open);
  return frame;
}

// On a new connection, whose buffer has room for it; for a user who waits from then on.
absl::Status SendWhole(int fd, absl::string_view bytes) {
  const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  const int flags = ::fcntl(fd, F_GETFL);
  if (sent == static_cast<ssize_t>(bytes.size()) && flags >= 0 &&
      ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kAgentUnreachable, "the agent in the guest takes no request");
}

}  // namespace

std::shared_ptr<AgentClient> AgentClient::Create(EventLoop& loop, AgentOptions options) {
  std::shared_ptr<AgentClient> client(new AgentClient(loop, std::move(options)));
  const auto connect = [weak = client->weak_from_this()](GuestConnector::Done done) {
    if (const auto self = weak.lock()) self->Connect(std::move(done));
  };
  client->warm_ = std::make_shared<WarmPool>(loop, client->options_.warm_connections, connect);
  client->control_ = std::make_shared<ControlChannel>(loop, connect);
  client->sweep_at_ = kFirstSweep;
  return client;
}

void AgentClient::Connect(GuestConnector::Done done) {
  GuestConnector::Start(loop_, options_.vsock_socket, msb::agent::v1::WIRE_AGENT_PORT,
                        options_.connect_timeout, std::move(done));
}

void AgentClient::Warm() {
  loop_.Post([self = shared_from_this()] {
    if (self->closed_.ok()) self->warm_->Fill();
  });
}

std::shared_ptr<AgentStream> AgentClient::Open(msb::agent::v1::Open open,
                                               std::shared_ptr<AgentFrameSink> sink) {
  auto stream = std::make_shared<AgentStream>(loop_, std::move(sink), options_.window_bytes);
  loop_.Post([self = shared_from_this(), first = FrameOf(std::move(open)), stream]() mutable {
    // Posted before anything that the stream's user sends, so it is the first frame.
    stream->SendFirst(std::move(first));
    self->ConnectFor(stream, [stream](UniqueFd fd) { stream->Connected(std::move(fd)); });
  });
  return stream;
}

std::shared_ptr<AgentStream> AgentClient::OpenDirect(msb::agent::v1::Open open,
                                                     std::shared_ptr<AgentFrameSink> sink,
                                                     OnConnected connected) {
  auto stream = std::make_shared<AgentStream>(loop_, std::move(sink), options_.window_bytes);
  std::string first;
  AppendFrame(FrameOf(std::move(open)).SerializeAsString(), first);
  loop_.Post([self = shared_from_this(), stream, first = std::move(first),
              connected = std::move(connected)] {
    self->ConnectFor(stream, [stream, first, connected](UniqueFd fd) {
      if (stream->ended()) return;
      const absl::Status sent = SendWhole(fd.get(), first);
      if (!sent.ok()) return stream->End(sent);
      connected(std::move(fd));
    });
  });
  return stream;
}

std::shared_ptr<ExecSession> AgentClient::OpenExec(msb::agent::v1::Open open,
                                                   ExecAttachment attachment,
                                                   std::shared_ptr<ExecSink> sink) {
  return std::make_shared<ExecSession>(
      Open(std::move(open), MakeExecFrameSink(attachment, std::move(sink))));
}

// What has a stream and no connection ends with all others.
void AgentClient::ConnectFor(const std::shared_ptr<AgentStream>& stream, OnConnected use) {
  if (!closed_.ok()) return stream->End(closed_);
  Remember(stream);
  if (UniqueFd fd = warm_->Take(); fd.valid()) return use(std::move(fd));
  Connect([stream, use = std::move(use)](absl::StatusOr<UniqueFd> fd) {
    if (!fd.ok()) return stream->End(fd.status());
    use(*std::move(fd));
  });
}

void AgentClient::Remember(const std::shared_ptr<AgentStream>& stream) {
  if (streams_.size() >= sweep_at_) {
    streams_.erase(std::remove_if(streams_.begin(), streams_.end(),
                                  [](const std::weak_ptr<AgentStream>& weak) {
                                    const auto held = weak.lock();
                                    return !held || held->ended();
                                  }),
                   streams_.end());
    sweep_at_ = std::max(kFirstSweep, streams_.size() * 2);
  }
  streams_.push_back(stream);
}

void AgentClient::Request(ControlRequest request, ControlChannel::OnResponse done,
                          absl::Duration extra) {
  const absl::Duration timeout = options_.request_timeout + extra;
  loop_.Post([self = shared_from_this(), request = std::move(request), done = std::move(done),
              timeout]() mutable {
    if (!self->closed_.ok()) return done(self->closed_);
    self->control_->Request(std::move(request), timeout, std::move(done));
  });
}

void AgentClient::Abandon() {
  warm_->Close();
  for (const auto& weak : streams_) {
    if (const auto stream = weak.lock()) stream->Drop();
  }
}

void AgentClient::Close(absl::Status why) {
  loop_.Post([self = shared_from_this(), why = std::move(why)] {
    if (!self->closed_.ok()) return;
    self->closed_ = why;
    self->warm_->Close();
    self->control_->Close(why);
    for (const auto& weak : std::exchange(self->streams_, {})) {
      if (const auto stream = weak.lock()) stream->End(why);
    }
  });
}

}  // namespace msb
