// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "tests/support/matchers.h"

namespace msb {
namespace {

class EventLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    near_ = UniqueFd(fds[0]);
    far_ = UniqueFd(fds[1]);
  }

  std::unique_ptr<EventLoop> loop_;
  UniqueFd near_, far_;
};

TEST_F(EventLoopTest, CallsTheHandlerOfAReadyDescriptor) {
  uint32_t seen = 0;
  ASSERT_OK(loop_->Watch(near_.get(), EPOLLIN, [&](uint32_t events) {
    seen = events;
    loop_->Stop();
  }));
  ASSERT_EQ(::write(far_.get(), "x", 1), 1);

  ASSERT_OK(loop_->Run());

  EXPECT_TRUE(seen & EPOLLIN);
}

TEST_F(EventLoopTest, AHandlerMayUnwatchAndCloseItsOwnDescriptor) {
  int calls = 0;
  ASSERT_OK(loop_->Watch(near_.get(), EPOLLIN, [&](uint32_t) {
    ++calls;
    loop_->Unwatch(near_.get());
    near_.Reset();
    loop_->After(absl::ZeroDuration(), [&] { loop_->Stop(); });
  }));
  ASSERT_EQ(::write(far_.get(), "x", 1), 1);

  ASSERT_OK(loop_->Run());

  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, RunsTimersInTheOrderOfTheirDeadlines) {
  std::string order;
  loop_->After(absl::Milliseconds(2), [&] {
    order += "b";
    loop_->Stop();
  });
  loop_->After(absl::Milliseconds(1), [&] { order += "a"; });

  ASSERT_OK(loop_->Run());

  EXPECT_EQ(order, "ab");
}

TEST_F(EventLoopTest, ACancelledTimerNeverRuns) {
  bool ran = false;
  const EventLoop::TimerId doomed = loop_->After(absl::Milliseconds(1), [&] { ran = true; });
  loop_->After(absl::Milliseconds(2), [&] { loop_->Stop(); });
  loop_->Cancel(doomed);

  ASSERT_OK(loop_->Run());
  loop_->Cancel(doomed);

  EXPECT_FALSE(ran);
}

TEST_F(EventLoopTest, RunsTasksPostedByAnotherThreadInOrder) {
  std::vector<int> order;
  std::thread poster([&] {
    for (int i = 0; i < 100; ++i) loop_->Post([&order, i] { order.push_back(i); });
    loop_->Post([&] { loop_->Stop(); });
  });

  ASSERT_OK(loop_->Run());
  poster.join();

  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(EventLoopTest, WhatATaskHeldMayCallTheLoopWhenTheLoopGoes) {
  int cancelled = 0;
  const auto held = [&](EventLoop::TimerId id) {
    return std::shared_ptr<void>(nullptr, [&, id](void*) {
      loop_->Cancel(id);
      ++cancelled;
    });
  };
  const EventLoop::TimerId other = loop_->After(absl::Hours(1), [] {});
  loop_->After(absl::Hours(1), [guard = held(other)] {});
  loop_->Post([guard = held(other)] {});
  // Not reset(): the pointer must still be there for the destructors.
  delete loop_.get();
  static_cast<void>(loop_.release());
  EXPECT_EQ(cancelled, 2);
}

}  // namespace
}  // namespace msb
