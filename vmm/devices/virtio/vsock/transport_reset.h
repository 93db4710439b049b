// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Tells the driver of a restored machine that all its connections are gone (VIRTIO 1.2, 5.10.6.7).
//
// A connection that the host opened before the driver has read this would die with the old ones. So
// none is offered until the driver has: it gives the event's buffer back then, as every driver
// must.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_TRANSPORT_RESET_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_TRANSPORT_RESET_H_

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {

class TransportReset {
 public:
  // `on_done`: connections may go on. The loop calls it, or OnNotify.
  TransportReset(EventLoop& loop, absl::Duration timeout, std::function<void()> on_done);
  TransportReset(const TransportReset&) = delete;
  TransportReset& operator=(const TransportReset&) = delete;
  ~TransportReset() { loop_.Cancel(timer_); }

  // The next Activate is a restored machine's.
  void Arm() { state_ = State::kArmed; }
  // `events` may be null: nobody can be told then. The event goes out with the first OnNotify.
  void Activate(Virtqueue* events);
  // The driver may have added buffers.
  absl::Status OnNotify();
  void Deactivate();

  // Whether connections have to wait.
  bool pending() const { return state_ == State::kUnsent || state_ == State::kSent; }

 private:
  enum class State { kNone, kArmed, kUnsent, kSent };

  absl::Status Send();
  absl::StatusOr<size_t> CountBuffers();
  void Finish();

  EventLoop& loop_;
  const absl::Duration timeout_;
  const std::function<void()> on_done_;
  State state_ = State::kNone;
  Virtqueue* events_ = nullptr;
  size_t buffers_left_ = 0;  // behind the one that carries the event
  EventLoop::TimerId timer_{};
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_TRANSPORT_RESET_H_
