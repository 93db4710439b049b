// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "supervisor/threads/loop_thread.h"
#include "supervisor/threads/worker_pool.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(WorkerPoolTest, RunsAllThatWasQueuedBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    WorkerPool pool(2);
    for (int i = 0; i < 100; ++i) pool.Run([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

TEST(WorkerPoolTest, ATaskThatBlocksLeavesTheOtherThreads) {
  absl::Notification release;
  absl::Notification second_ran;
  WorkerPool pool(2);  // last: its threads look at the two until they end
  pool.Run([&] { release.WaitForNotification(); });
  pool.Run([&] { second_ran.Notify(); });
  second_ran.WaitForNotification();
  release.Notify();
}

TEST(LoopThreadTest, ServesItsLoopOnAnotherThreadUntilItIsStopped) {
  ASSERT_OK_AND_ASSIGN(const auto thread, LoopThread::Start("test"));
  absl::Notification ran;
  std::thread::id on;
  thread->loop().Post([&] {
    on = std::this_thread::get_id();
    ran.Notify();
  });
  ran.WaitForNotification();
  EXPECT_NE(on, std::this_thread::get_id());
  thread->Stop();
  bool late = false;
  thread->loop().Post([&] { late = true; });
  EXPECT_FALSE(late);
}

}  // namespace
}  // namespace msb
