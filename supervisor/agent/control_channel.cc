// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/agent/control_channel.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "proto/guest/guest_error.h"

namespace msb {

using msb::agent::v1::AgentFrame;
using msb::agent::v1::ControlRequest;
using msb::agent::v1::ControlResponse;
using msb::agent::v1::HostFrame;

void ControlChannel::Request(ControlRequest request, absl::Duration timeout, OnResponse done) {
  request.set_id(pending_.Add(
      timeout,
      MakeError(Reason::kAgentUnreachable, "the agent in the guest did not answer in time"),
      std::move(done)));
  if (state_ == State::kUp) return SendRequest(std::move(request));
  unsent_.push_back(std::move(request));
  if (state_ == State::kDown) Open();
}

void ControlChannel::Open() {
  state_ = State::kConnecting;
  connect_([weak = weak_from_this()](absl::StatusOr<UniqueFd> fd) {
    if (const auto self = weak.lock()) self->OnConnected(std::move(fd));
  });
}

void ControlChannel::OnConnected(absl::StatusOr<UniqueFd> fd) {
  if (state_ != State::kConnecting) return;
  if (!fd.ok()) return Fail(fd.status());
  state_ = State::kOpening;
  socket_ = FrameSocket::Serve(loop_, *std::move(fd),
                               {.on_frame =
                                    [weak = weak_from_this()](absl::string_view payload) {
                                      if (const auto self = weak.lock()) self->OnPayload(payload);
                                    },
                                .on_closed =
                                    [weak = weak_from_this()](const absl::Status&) {
                                      if (const auto self = weak.lock()) {
                                        self->Fail(MakeError(Reason::kAgentUnreachable,
                                                             "the agent closed its control "
                                                             "connection"));
                                      }
                                    },
                                .on_drained = nullptr});
  HostFrame frame;
  frame.mutable_open()->set_protocol_version(msb::agent::v1::WIRE_PROTOCOL_VERSION);
  frame.mutable_open()->mutable_control();
  if (const absl::Status sent = socket_->Send(frame); !sent.ok()) Fail(sent);
}

void ControlChannel::OnPayload(absl::string_view payload) {
  AgentFrame frame;
  if (!frame.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return Fail(MakeError(Reason::kAgentProtocol, "the agent sent what is no message"));
  }
  if (frame.has_error()) return Fail(StatusFromGuest(frame.error()));
  if (state_ == State::kOpening && frame.has_opened()) {
    state_ = State::kUp;
    for (ControlRequest& request : std::exchange(unsent_, {})) SendRequest(std::move(request));
    return;
  }
  if (state_ != State::kUp || !frame.has_control()) {
    return Fail(MakeError(Reason::kAgentProtocol, "the agent sent a frame out of its turn"));
  }
  ControlResponse& response = *frame.mutable_control();
  const uint64_t id = response.id();
  if (response.has_error()) return pending_.Answer(id, StatusFromGuest(response.error()));
  pending_.Answer(id, std::move(response));
}

void ControlChannel::SendRequest(ControlRequest request) {
  if (!socket_) return;  // a request before it failed the connection
  HostFrame frame;
  const uint64_t id = request.id();
  if (request.has_set_clock_ns()) {
    request.set_set_clock_ns(static_cast<uint64_t>(absl::GetCurrentTimeNanos()));
  }
  *frame.mutable_control() = std::move(request);
  if (const absl::Status sent = socket_->Send(frame); !sent.ok()) pending_.Answer(id, sent);
}

void ControlChannel::Fail(const absl::Status& why) {
  state_ = State::kDown;
  if (socket_) socket_->Close();
  socket_.reset();
  unsent_.clear();
  pending_.FailAll(why);
}

void ControlChannel::Close(const absl::Status& why) { Fail(why); }

}  // namespace msb
