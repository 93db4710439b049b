// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/link/frame_stream.h"

#include <sys/socket.h>

#include <memory>
#include <string>

#include "tests/support/matchers.h"

namespace msb::net {
namespace {

class FrameStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    guest_ = UniqueFd(ends[0]);
    stream_ =
        std::make_unique<FrameStream>(*loop_, UniqueFd(ends[1]),
                                      FrameStream::Handlers{.on_frame = [](Bytes) {},
                                                            .on_batch_end = [] {},
                                                            .on_drained = [this] { ++drained_; },
                                                            .on_end = [](const absl::Status&) {}});
    ASSERT_OK(stream_->Start());
  }
  void Turn() {
    loop_->After(absl::Milliseconds(1), [this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
  }
  void FillUntilCongested() {
    while (!stream_->congested()) stream_->Send(BuildRaw({}, 0, std::string(60000, 'x')));
  }

  std::unique_ptr<EventLoop> loop_;
  UniqueFd guest_;
  std::unique_ptr<FrameStream> stream_;
  int drained_ = 0;
};

TEST_F(FrameStreamTest, SendsNoFrameThatIsLongerThanOneMayBe) {
  const auto send = [&](size_t size) {
    stream_->Send(BuildRaw({}, 0, std::string(size - kEthernetBytes, 'x')));
  };
  send(FrameStream::kMaxFrameBytes + 1);
  EXPECT_EQ(stream_->queued_bytes(), 0u);
  send(FrameStream::kMaxFrameBytes);
  EXPECT_EQ(stream_->queued_bytes(), 4 + FrameStream::kMaxFrameBytes);
}

TEST_F(FrameStreamTest, TellsThatItHasRoomAgainWhoeverMadeIt) {
  // The socket takes the first part of it, and what is left is below the mark.
  FillUntilCongested();
  stream_->Flush();
  ASSERT_FALSE(stream_->congested());
  EXPECT_EQ(drained_, 0) << "not from within";
  Turn();
  EXPECT_EQ(drained_, 1);
  // Then until it takes nothing before the guest has read.
  while (!stream_->congested()) {
    FillUntilCongested();
    Turn();
  }
  const int before = drained_;
  std::string buffer(2 << 20, 0);
  for (int i = 0; i < 100 && drained_ == before; ++i) {
    while (::recv(guest_.get(), buffer.data(), buffer.size(), 0) > 0) continue;
    Turn();
  }
  EXPECT_EQ(drained_, before + 1);
}

}  // namespace
}  // namespace msb::net
