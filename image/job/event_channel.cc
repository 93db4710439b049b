// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/job/event_channel.h"

#include <poll.h>

#include "absl/time/clock.h"
#include "base/frames.h"

namespace msb::image {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

// The kernel says so of a socket with a good part of its buffer free: a small frame fits.
bool HasRoom(int socket) {
  pollfd watched{.fd = socket, .events = POLLOUT, .revents = 0};
  return ::poll(&watched, 1, 0) == 1 && (watched.revents & POLLOUT) != 0;
}

}  // namespace

absl::Status EventChannel::Send(const v1::JobEvent& event) {
  const absl::MutexLock lock(&sending_);
  return WriteFrame(socket_.get(), event.SerializeAsString(), absl::InfiniteFuture());
}

bool EventChannel::MayTellProgress(absl::string_view what) {
  const absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  absl::Time& next = next_progress_.try_emplace(what, absl::InfinitePast()).first->second;
  if (now < next) return false;
  next = now + kProgressInterval;
  return true;
}

void EventChannel::Progress(absl::string_view what, uint64_t done_bytes, uint64_t total_bytes) {
  if (!MayTellProgress(what)) return;
  v1::JobEvent event;
  event.mutable_progress()->set_what(std::string(what));
  event.mutable_progress()->set_done_bytes(done_bytes);
  event.mutable_progress()->set_total_bytes(total_bytes);
  // Another thread may wait for the daemon, with an event that must not be lost.
  if (!sending_.TryLock()) return;
  if (HasRoom(socket_.get())) {
    WriteFrame(socket_.get(), event.SerializeAsString(), absl::InfiniteFuture()).IgnoreError();
  }
  sending_.Unlock();
}

void EventChannel::WaitForHangUp() const {
  pollfd watched{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
  while ((watched.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0) {
    ::poll(&watched, 1, -1);
  }
}

}  // namespace msb::image
