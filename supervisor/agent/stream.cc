// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/agent/stream.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "proto/guest/guest_error.h"

namespace msb {
namespace {

using msb::agent::v1::AgentFrame;
using msb::agent::v1::HostFrame;

// Of a frame without data: what it takes in memory, roughly.
constexpr size_t kFrameCost = 256;

size_t CostOf(const AgentFrame& frame, size_t payload_bytes) {
  switch (frame.frame_case()) {
    case AgentFrame::kStdout:
      return frame.stdout().data().size();
    case AgentFrame::kStderr:
      return frame.stderr().data().size();
    case AgentFrame::kData:
      return frame.data().size();
    default:
      return payload_bytes + kFrameCost;
  }
}

}  // namespace

void AgentStream::Send(HostFrame frame, Accepted accepted) {
  loop_.Post([self = shared_from_this(), frame = std::move(frame),
              accepted = std::move(accepted)]() mutable {
    self->SendNow(std::move(frame), std::move(accepted));
  });
}

void AgentStream::SendNow(HostFrame frame, Accepted accepted) {
  if (!sink_) return;
  if (!socket_) {
    unsent_.emplace_back(std::move(frame), std::move(accepted));
    return;
  }
  if (const absl::Status status = socket_->Send(frame); !status.ok()) return End(status);
  if (!accepted) return;
  if (socket_->queued_bytes() > window_bytes_ / 2) {
    waiting_.push_back(std::move(accepted));
  } else {
    accepted();
  }
}

void AgentStream::Acknowledge(size_t cost) {
  acknowledged_.fetch_add(cost);
  if (acknowledge_posted_.exchange(true)) return;
  loop_.Post([self = shared_from_this()] { self->TakeAcknowledged(); });
}

void AgentStream::TakeAcknowledged() {
  acknowledge_posted_.store(false);
  const size_t cost = acknowledged_.exchange(0);
  unacknowledged_ -= std::min(cost, unacknowledged_);
  if (socket_ && unacknowledged_ <= window_bytes_ / 2) socket_->SetReading(true);
}

void AgentStream::Break(absl::Status why) {
  loop_.Post([self = shared_from_this(), why = std::move(why)] { self->End(why); });
}

void AgentStream::Close() {
  loop_.Post([self = shared_from_this()] { self->Drop(); });
}

void AgentStream::Drop() {
  sink_.reset();
  unsent_.clear();
  waiting_.clear();
  if (socket_) socket_->Close();
  socket_.reset();
}

void AgentStream::Connected(UniqueFd fd) {
  if (!sink_) return;
  FrameSocket::Handler handler{
      .on_frame = [self =
                       shared_from_this()](absl::string_view payload) { self->OnPayload(payload); },
      .on_closed =
          [self = shared_from_this()](absl::Status status) {
            self->End(
                status.ok() || ReasonOf(status) != Reason::kUnspecified
                    ? std::move(status)
                    : WithReason(Reason::kAgentUnreachable, "the agent in the guest", status));
          },
      .on_drained = [self = shared_from_this()] { self->ReleaseAccepted(); },
      // Well before it is empty, so that the next data is here by then.
      .low_water_bytes = window_bytes_ / 2};
  socket_ = FrameSocket::Serve(loop_, std::move(fd), std::move(handler));
  for (auto& [frame, accepted] : std::exchange(unsent_, {})) {
    SendNow(std::move(frame), std::move(accepted));
  }
}

void AgentStream::OnPayload(absl::string_view payload) {
  AgentFrame frame;
  if (!frame.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return End(MakeError(Reason::kAgentProtocol, "the agent sent what is no message"));
  }
  if (frame.has_error()) return End(StatusFromGuest(frame.error()));
  if (!sink_) return;
  const size_t cost = CostOf(frame, payload.size());
  unacknowledged_ += cost;
  if (unacknowledged_ >= window_bytes_) socket_->SetReading(false);
  const std::shared_ptr<AgentFrameSink> sink = sink_;
  const absl::StatusOr<StreamStep> step = sink->OnFrame(std::move(frame), cost);
  if (!step.ok()) return End(step.status());
  if (*step == StreamStep::kDone) Drop();
}

void AgentStream::ReleaseAccepted() {
  for (const Accepted& accepted : std::exchange(waiting_, {})) accepted();
}

void AgentStream::End(absl::Status status) {
  const std::shared_ptr<AgentFrameSink> sink = sink_;
  Drop();
  if (sink) sink->OnEnd(std::move(status));
}

}  // namespace msb
