// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/job/event_channel.h"

#include <poll.h>

#include "absl/time/clock.h"
#include "base/frames.h"

namespace msb::image {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);
constexpr absl::Duration kSendTimeout = absl::Minutes(1);

}  // namespace

absl::Status EventChannel::Send(const v1::JobEvent& event) {
  const absl::MutexLock lock(&mutex_);
  return WriteFrame(socket_.get(), event.SerializeAsString(), absl::Now() + kSendTimeout);
}

void EventChannel::Progress(absl::string_view what, uint64_t done_bytes, uint64_t total_bytes) {
  {
    const absl::MutexLock lock(&mutex_);
    const absl::Time now = absl::Now();
    absl::Time& next = next_progress_.try_emplace(what, absl::InfinitePast()).first->second;
    if (now < next) return;
    next = now + kProgressInterval;
  }
  v1::JobEvent event;
  event.mutable_progress()->set_what(std::string(what));
  event.mutable_progress()->set_done_bytes(done_bytes);
  event.mutable_progress()->set_total_bytes(total_bytes);
  Send(event).IgnoreError();
}

void EventChannel::WaitForHangUp() const {
  pollfd watched{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
  while ((watched.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0) {
    ::poll(&watched, 1, -1);
  }
}

}  // namespace msb::image
