// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/transport_reset.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "vmm/devices/virtio/spec/vsock.h"

namespace msb {

TransportReset::TransportReset(EventLoop& loop, absl::Duration timeout,
                               std::function<void()> on_done)
    : loop_(loop), timeout_(timeout), on_done_(std::move(on_done)) {}

void TransportReset::Activate(Virtqueue* events) {
  events_ = events;
  if (state_ != State::kArmed) return;
  state_ = events_ == nullptr ? State::kNone : State::kUnsent;
  if (state_ == State::kNone) return;
  timer_ = loop_.After(timeout_, [this] {
    MSB_LOG(kWarning) << "vsock: the guest takes no note of the transport reset";
    Finish();
  });
}

void TransportReset::Deactivate() {
  loop_.Cancel(timer_);
  state_ = State::kNone;
  events_ = nullptr;
}

// A kick alone proves nothing: the one for the saved machine's buffers may come late.
absl::Status TransportReset::OnNotify() {
  if (state_ == State::kUnsent) return Send();
  if (state_ != State::kSent) return absl::OkStatus();
  MSB_ASSIGN_OR_RETURN(const size_t buffers, CountBuffers());
  if (buffers > buffers_left_) Finish();
  return absl::OkStatus();
}

void TransportReset::Finish() {
  loop_.Cancel(timer_);
  state_ = State::kNone;
  on_done_();
}

absl::Status TransportReset::Send() {
  MSB_ASSIGN_OR_RETURN(const size_t buffers, CountBuffers());
  if (buffers == 0) return absl::OkStatus();  // with the driver's next one
  MSB_ASSIGN_OR_RETURN(DescriptorChain chain, events_->Pop());
  const virtio::VsockEvent event{.id = virtio::VsockEventId::kTransportReset};
  if (chain.writable_bytes() < sizeof(event)) {
    return MakeError(Reason::kGuestViolation, "vsock: an event buffer cannot hold an event");
  }
  chain.CopyIn(0, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&event), sizeof(event)));
  MSB_RETURN_IF_ERROR(events_->Complete(std::move(chain), sizeof(event)));
  buffers_left_ = buffers - 1;
  state_ = State::kSent;
  return events_->Flush();
}

// Takes them all out, so that the queue asks for a kick at the next one, and puts them back.
absl::StatusOr<size_t> TransportReset::CountBuffers() {
  std::vector<DescriptorChain> chains;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool more, events_->HasNext());
    if (!more) break;
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, events_->Pop());
    chains.push_back(std::move(chain));
  }
  const size_t count = chains.size();
  for (; !chains.empty(); chains.pop_back()) events_->Return(std::move(chains.back()));
  return count;
}

}  // namespace msb
