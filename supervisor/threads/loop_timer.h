// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One timer of an event loop that ends with its owner.

#ifndef MSB_SUPERVISOR_THREADS_LOOP_TIMER_H_
#define MSB_SUPERVISOR_THREADS_LOOP_TIMER_H_

#include <utility>

#include "absl/time/time.h"
#include "base/event_loop.h"

namespace msb {

// Threading: the loop's thread only.
class LoopTimer {
 public:
  explicit LoopTimer(EventLoop& loop) : loop_(loop) {}
  ~LoopTimer() { Cancel(); }
  LoopTimer(const LoopTimer&) = delete;
  LoopTimer& operator=(const LoopTimer&) = delete;

  // Runs `task` after `delay`, in place of what was set before.
  void Set(absl::Duration delay, EventLoop::Task task) {
    Cancel();
    id_ = loop_.After(delay, std::move(task));
  }
  void Cancel() { loop_.Cancel(std::exchange(id_, EventLoop::TimerId{})); }

 private:
  EventLoop& loop_;
  EventLoop::TimerId id_{};  // 0: none
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_THREADS_LOOP_TIMER_H_
