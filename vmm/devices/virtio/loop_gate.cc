// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/loop_gate.h"

#include "base/check.h"

namespace msb {
namespace {

// One call of Run, on the stack of the thread that waits there.
struct Call {
  const std::function<void()>* task;
  const bool* closed;
  bool done = false;
};

}  // namespace

void LoopGate::Run(const std::function<void()>& task) {
  const std::shared_ptr<State> state = state_;
  absl::MutexLock lock(&state->mutex);
  if (state->closed) return;
  Call call{.task = &task, .closed = &state->closed};
  loop_.Post([state, &call] {
    {
      // Once closed, the caller is gone and `call` with it. Closing happens on this very thread, so
      // the answer holds while the task runs.
      absl::MutexLock task_lock(&state->mutex);
      if (state->closed) return;
      state->in_task = true;
    }
    (*call.task)();
    absl::MutexLock task_lock(&state->mutex);
    state->in_task = false;
    call.done = true;
  });
  state->mutex.Await(absl::Condition(
      +[](Call* waiting) { return waiting->done || *waiting->closed; }, &call));
}

void LoopGate::Close() {
  absl::MutexLock lock(&state_->mutex);
  MSB_CHECK(!state_->in_task);
  state_->closed = true;
}

}  // namespace msb
