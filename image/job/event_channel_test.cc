// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/job/event_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/frames.h"
#include "tests/support/matchers.h"

namespace msb::image {
namespace {

// More small events than a socket's buffer holds.
constexpr int kMany = 5000;

class EventChannelTest : public testing::Test {
 protected:
  EventChannelTest() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    daemon_ = UniqueFd(fds[0]);
    channel_.emplace(UniqueFd(fds[1]));
  }

  // nullopt when the channel was closed.
  std::optional<v1::JobEvent> Read() {
    const auto frame = ReadFrame(daemon_.get(), absl::InfiniteFuture(), kMaxEventBytes);
    EXPECT_OK(frame);
    v1::JobEvent event;
    if (!frame.ok() || !frame->has_value() || !event.ParseFromString(**frame)) return std::nullopt;
    return event;
  }
  // Each of something else: none is held back for its frequency.
  void TellOfMany() {
    for (int i = 0; i < kMany; ++i) channel_->Progress(absl::StrCat("blob ", i), 1, 2);
  }

  UniqueFd daemon_;
  std::optional<EventChannel> channel_;
};

TEST_F(EventChannelTest, ProgressThatNobodyReadsIsDropped) {
  TellOfMany();
  channel_.reset();
  int heard = 0;
  while (const auto event = Read()) {
    EXPECT_EQ(event->progress().done_bytes(), 1u);
    ++heard;
  }
  EXPECT_GT(heard, 10);
  EXPECT_LT(heard, kMany);
}

TEST_F(EventChannelTest, AnEventThatMattersWaitsAndProgressDoesNotWaitForIt) {
  v1::JobEvent large;
  large.mutable_manifest()->set_manifest(std::string(4 << 20, 'm'));
  std::thread sender([&] { EXPECT_OK(channel_->Send(large)); });
  // Its first bytes are there: it stands in the middle of its frame.
  char byte;
  ASSERT_EQ(::recv(daemon_.get(), &byte, 1, MSG_PEEK), 1);
  TellOfMany();
  const auto first = Read();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->manifest().manifest().size(), large.manifest().manifest().size());
  sender.join();
}

TEST_F(EventChannelTest, ADaemonThatIsGoneIsAnError) {
  daemon_.Reset();
  v1::JobEvent event;
  event.mutable_done();
  EXPECT_FALSE(channel_->Send(event).ok());
}

}  // namespace
}  // namespace msb::image
