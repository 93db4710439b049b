// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An event loop with a thread of its own.

#ifndef MSB_SUPERVISOR_THREADS_LOOP_THREAD_H_
#define MSB_SUPERVISOR_THREADS_LOOP_THREAD_H_

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace msb {

class LoopThread {
 public:
  // `name`: of the thread, as ps shows it; at most 15 bytes.
  static absl::StatusOr<std::unique_ptr<LoopThread>> Start(const std::string& name);
  // Tasks that were posted and have not run are dropped.
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  EventLoop& loop() { return *loop_; }
  // Ends the loop and waits for its thread; the loop object stays, so that a late Post is harmless.
  void Stop();

 private:
  explicit LoopThread(std::unique_ptr<EventLoop> loop) : loop_(std::move(loop)) {}

  const std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_THREADS_LOOP_THREAD_H_
