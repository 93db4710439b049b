// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An event loop on a thread of its own, as the VMM's devices have it; the test plays the vCPU.

#ifndef MSB_TESTS_SUPPORT_VMM_LOOP_THREAD_H_
#define MSB_TESTS_SUPPORT_VMM_LOOP_THREAD_H_

#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "base/event_loop.h"

namespace msb {

class LoopThread {
 public:
  LoopThread() : loop_(MakeLoop()), thread_([this] { MSB_CHECK(loop_->Run().ok()); }) {}
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  ~LoopThread() { Stop(); }

  EventLoop& loop() { return *loop_; }

  // Runs `task` on the loop's thread and waits for it. What was ready or posted before has been
  // served by then.
  void Run(const std::function<void()>& task) {
    absl::Notification done;
    // A round first: descriptors that are ready now are served in it, in any order.
    loop_->Post([&] {
      loop_->Post([&] {
        task();
        done.Notify();
      });
    });
    done.WaitForNotification();
  }
  void Settle() {
    Run([] {});
  }
  void Stop() {
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
  }

 private:
  static std::unique_ptr<EventLoop> MakeLoop() {
    auto loop = EventLoop::Create();
    MSB_CHECK(loop.ok());
    return *std::move(loop);
  }

  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_LOOP_THREAD_H_
