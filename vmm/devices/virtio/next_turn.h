// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For what is left in a queue when a device has done as much as one notification may do. A driver
// on another CPU can fill a queue as quickly as it is emptied: without a limit the loop, and with
// it the control socket, would never come to anything else.
//
// Threading: the event loop's.

#ifndef MSB_VMM_DEVICES_VIRTIO_NEXT_TURN_H_
#define MSB_VMM_DEVICES_VIRTIO_NEXT_TURN_H_

#include <functional>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "base/event_loop.h"

namespace msb {

class NextTurn {
 public:
  // `loop` outlives it; `go_on` is called from the loop.
  NextTurn(EventLoop& loop, std::function<void()> go_on) : loop_(loop), go_on_(std::move(go_on)) {}
  NextTurn(const NextTurn&) = delete;
  NextTurn& operator=(const NextTurn&) = delete;
  ~NextTurn() { Cancel(); }

  // Goes on when the loop has looked after others: once, however often it was asked to.
  void Ask() {
    if (timer_.has_value()) return;
    timer_ = loop_.After(absl::ZeroDuration(), [this] {
      timer_.reset();
      go_on_();
    });
  }
  void Cancel() {
    if (timer_.has_value()) loop_.Cancel(*std::exchange(timer_, std::nullopt));
  }

 private:
  EventLoop& loop_;
  const std::function<void()> go_on_;
  std::optional<EventLoop::TimerId> timer_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_NEXT_TURN_H_
