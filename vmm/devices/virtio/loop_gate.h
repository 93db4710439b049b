// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Lets other threads have something done on the event loop's thread and wait for it.
//
// The way of a vCPU thread to the devices: it stands still, as on a real machine that waits for a
// register, until the loop has done the work. Whoever stops the vCPU threads does so from the
// loop's thread; Close first, so that none of them waits for a loop that waits for it.

#ifndef MSB_VMM_DEVICES_VIRTIO_LOOP_GATE_H_
#define MSB_VMM_DEVICES_VIRTIO_LOOP_GATE_H_

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/event_loop.h"

namespace msb {

class LoopGate {
 public:
  // `loop` outlives the gate.
  explicit LoopGate(EventLoop& loop) : loop_(loop), state_(std::make_shared<State>()) {}
  LoopGate(const LoopGate&) = delete;
  LoopGate& operator=(const LoopGate&) = delete;
  ~LoopGate() { Close(); }

  // On any thread but the loop's: runs `task` there and returns when it has run. When the gate is
  // or gets closed, returns at once, and the task does not run from then on.
  void Run(const std::function<void()>& task);

  // On the loop's thread, but not out of a task of Run. Whoever waits in Run returns.
  void Close();

 private:
  struct State {
    absl::Mutex mutex;
    bool closed ABSL_GUARDED_BY(mutex) = false;
    bool in_task ABSL_GUARDED_BY(mutex) = false;
  };

  EventLoop& loop_;
  const std::shared_ptr<State> state_;  // shared with tasks that the loop has not come to yet
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_LOOP_GATE_H_
