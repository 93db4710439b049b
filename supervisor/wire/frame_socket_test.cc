// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/wire/frame_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "msb/agent/v1/agent.pb.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using msb::agent::v1::HostFrame;

HostFrame Data(std::string data) {
  HostFrame frame;
  frame.set_data(std::move(data));
  return frame;
}

// A socket on a loop that the test turns, and the descriptor of its peer.
class FrameSocketTest : public testing::Test {
 protected:
  FrameSocketTest() : loop_(*EventLoop::Create()) {
    int fds[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    peer_ = UniqueFd(fds[1]);
    socket_ = FrameSocket::Serve(
        *loop_, UniqueFd(fds[0]),
        {.on_frame =
             [this](absl::string_view payload) {
               HostFrame frame;
               frames_.push_back(
                   frame.ParseFromArray(payload.data(), static_cast<int>(payload.size()))
                       ? frame.data()
                       : "malformed");
               if (pause_after_ == frames_.size()) socket_->SetReading(false);
               if (close_after_ == frames_.size()) socket_->Close();
               if (frames_.size() == stop_after_) loop_->Stop();
             },
         .on_closed =
             [this](absl::Status status) {
               closed_ = status;
               loop_->Stop();
             },
         .on_drained =
             [this] {
               ++drained_;
               if (stop_when_drained_) loop_->Stop();
             }});
  }

  void SendRaw(absl::string_view bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void SendFrame(std::string data) {
    std::string bytes;
    AppendFrame(Data(std::move(data)).SerializeAsString(), bytes);
    SendRaw(bytes);
  }
  // Serves what is ready now, and no more.
  void TurnOnce() {
    loop_->Post([this] { loop_->Post([this] { loop_->Post([this] { loop_->Stop(); }); }); });
    ASSERT_OK(loop_->Run());
  }

  const std::unique_ptr<EventLoop> loop_;
  UniqueFd peer_;
  std::shared_ptr<FrameSocket> socket_;
  std::vector<std::string> frames_;
  std::optional<absl::Status> closed_;
  size_t pause_after_ = 0;
  size_t close_after_ = 0;
  size_t stop_after_ = 0;
  bool stop_when_drained_ = false;
  int drained_ = 0;
};

TEST_F(FrameSocketTest, DeliversFramesInOrderAndThenTheEnd) {
  SendFrame("one");
  SendFrame("two");
  peer_.Reset();
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(frames_, (std::vector<std::string>{"one", "two"}));
  ASSERT_TRUE(closed_);
  EXPECT_OK(*closed_);
}

TEST_F(FrameSocketTest, APauseHoldsFramesBackThatWereAlreadyRead) {
  pause_after_ = 1;
  SendFrame("one");
  SendFrame("two");
  TurnOnce();
  EXPECT_EQ(frames_, std::vector<std::string>{"one"});
  stop_after_ = 2;
  socket_->SetReading(true);
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(frames_.back(), "two");
}

TEST_F(FrameSocketTest, APeerThatGoesDuringAPauseIsHeardToItsEnd) {
  pause_after_ = 1;
  SendFrame("one");
  TurnOnce();
  SendFrame(std::string(1 << 16, 'x'));
  SendFrame("three");
  peer_.Reset();
  TurnOnce();
  TurnOnce();
  EXPECT_EQ(frames_.size(), 1u);
  EXPECT_FALSE(closed_);
  socket_->SetReading(true);
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(frames_.size(), 3u);
  ASSERT_TRUE(closed_);
  EXPECT_OK(*closed_);
}

TEST_F(FrameSocketTest, AFrameThatIsCutIsAnError) {
  SendRaw(absl::string_view("\x10\0\0\0abc", 7));
  peer_.Reset();
  ASSERT_OK(loop_->Run());
  ASSERT_TRUE(closed_);
  EXPECT_THAT(*closed_, HasReason(Reason::kFrameTruncated));
}

TEST_F(FrameSocketTest, AnAnnouncedFrameBeyondTheLimitIsRefusedUnread) {
  SendRaw("\xff\xff\xff\x7f");
  ASSERT_OK(loop_->Run());
  ASSERT_TRUE(closed_);
  EXPECT_THAT(*closed_, HasReason(Reason::kFrameTooLarge));
  EXPECT_TRUE(socket_->closed());
}

TEST_F(FrameSocketTest, WhatThePeerDoesNotTakeIsQueuedAndDrainsLater) {
  const std::string chunk(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) ASSERT_OK(socket_->Send(Data(chunk)));
  EXPECT_GT(socket_->queued_bytes(), size_t{2} << 20);
  EXPECT_EQ(drained_, 0);
  std::thread reader([this, &chunk] {
    for (int i = 0; i < 4; ++i) {
      const auto frame = ReadFrame(peer_.get(), absl::InfiniteFuture());
      HostFrame parsed;
      ASSERT_TRUE(frame.ok() && *frame && parsed.ParseFromString(**frame));
      EXPECT_EQ(parsed.data(), chunk);
    }
  });
  stop_when_drained_ = true;
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(socket_->queued_bytes(), 0u);
  reader.join();
}

TEST_F(FrameSocketTest, AMessageThatThePeerWouldRefuseIsNotSent) {
  EXPECT_THAT(socket_->Send(Data(std::string(kMaxFrameBytes, 'x'))),
              HasReason(Reason::kFrameTooLarge));
  EXPECT_EQ(socket_->queued_bytes(), 0u);
}

TEST_F(FrameSocketTest, AHandlerMayCloseItsOwnSocketAndHearsNoMore) {
  close_after_ = 1;
  SendFrame("one");
  SendFrame("two");
  TurnOnce();
  EXPECT_EQ(frames_, std::vector<std::string>{"one"});
  EXPECT_TRUE(socket_->closed());
  EXPECT_FALSE(closed_);
  EXPECT_EQ(::recv(peer_.get(), nullptr, 0, MSG_DONTWAIT), 0);
}

}  // namespace
}  // namespace msb
