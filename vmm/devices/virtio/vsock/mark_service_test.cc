// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/mark_service.h"

#include <memory>
#include <string>
#include <vector>

#include "base/frames.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using agent::v1::BootMark;
using testing::ElementsAre;

class MarkServiceTest : public testing::Test, public BootMarkObserver {
 protected:
  void OnBootMark(const BootMark& mark) override { stages_.push_back(mark.stage()); }

  static std::string Mark(BootMark::Stage stage, const std::string& detail = "") {
    BootMark mark;
    mark.set_stage(stage);
    mark.set_guest_boottime_ns(7);
    mark.set_detail(detail);
    std::string frame;
    AppendFrame(mark.SerializeAsString(), frame);
    return frame;
  }
  static HostStream::Moved Write(HostStream& stream, std::string bytes) {
    const iovec piece{.iov_base = bytes.data(), .iov_len = bytes.size()};
    return stream.Write({&piece, 1});
  }

  std::vector<int> stages_;
  MarkService service_{*this};
};

TEST_F(MarkServiceTest, TellsItsObserverOfEachMarkAsItComes) {
  const std::unique_ptr<HostStream> stream = service_.Accept(1);
  ASSERT_NE(stream, nullptr);
  const std::string first = Mark(BootMark::STAGE_AGENT_STARTED);

  EXPECT_EQ(Write(*stream, first.substr(0, 3)).bytes, 3u);
  EXPECT_THAT(stages_, ElementsAre());
  Write(*stream, first.substr(3));
  EXPECT_THAT(stages_, ElementsAre(BootMark::STAGE_AGENT_STARTED));
  Write(*stream, Mark(BootMark::STAGE_ROOT_MOUNTED) + Mark(BootMark::STAGE_AGENT_READY));

  EXPECT_THAT(stages_, ElementsAre(BootMark::STAGE_AGENT_STARTED, BootMark::STAGE_ROOT_MOUNTED,
                                   BootMark::STAGE_AGENT_READY));
}

TEST_F(MarkServiceTest, ALongFrameBreaksTheStream) {
  const std::unique_ptr<HostStream> stream = service_.Accept(1);
  const HostStream::Moved moved =
      Write(*stream, Mark(BootMark::STAGE_FAILED, std::string(MarkService::kMaxFrameBytes, 'x')));
  EXPECT_EQ(moved.state, HostStream::State::kBroken);
  EXPECT_THAT(stages_, ElementsAre());
}

TEST_F(MarkServiceTest, WhatIsNoMarkBreaksTheStream) {
  const std::unique_ptr<HostStream> stream = service_.Accept(1);
  std::string frame;
  AppendFrame("\xff\xff\xff", frame);
  EXPECT_EQ(Write(*stream, frame).state, HostStream::State::kBroken);
}

TEST_F(MarkServiceTest, AStageOfANewerAgentIsPassedOver) {
  const std::unique_ptr<HostStream> stream = service_.Accept(1);
  EXPECT_EQ(Write(*stream, Mark(static_cast<BootMark::Stage>(99))).state, HostStream::State::kOpen);
  Write(*stream, Mark(BootMark::STAGE_AGENT_READY));
  EXPECT_THAT(stages_, ElementsAre(BootMark::STAGE_AGENT_READY));
}

TEST_F(MarkServiceTest, MarksAreCountedOverAllStreams) {
  for (int i = 0; i < MarkService::kMaxMarks; ++i) {
    const std::unique_ptr<HostStream> stream = service_.Accept(1);
    ASSERT_NE(stream, nullptr);
    ASSERT_EQ(Write(*stream, Mark(BootMark::STAGE_AGENT_READY)).state, HostStream::State::kOpen);
  }
  EXPECT_EQ(service_.Accept(1), nullptr);
  EXPECT_EQ(stages_.size(), size_t{MarkService::kMaxMarks});
}

TEST_F(MarkServiceTest, MoreMarksThanAllowedBreakTheStream) {
  const std::unique_ptr<HostStream> stream = service_.Accept(1);
  std::string marks;
  for (int i = 0; i <= MarkService::kMaxMarks; ++i) marks += Mark(BootMark::STAGE_AGENT_READY);
  EXPECT_EQ(Write(*stream, marks).state, HostStream::State::kBroken);
  EXPECT_EQ(stages_.size(), size_t{MarkService::kMaxMarks});
}

TEST_F(MarkServiceTest, TakesAFewStreamsAtATime) {
  std::vector<std::unique_ptr<HostStream>> streams;
  for (int i = 0; i < MarkService::kMaxStreams; ++i) streams.push_back(service_.Accept(1));
  EXPECT_EQ(service_.Accept(1), nullptr);
  streams.pop_back();
  EXPECT_NE(service_.Accept(1), nullptr);
}

TEST_F(MarkServiceTest, ListensOnlyToPortsOfThePrivileged) {
  EXPECT_NE(service_.Accept(1023), nullptr);
  EXPECT_EQ(service_.Accept(1024), nullptr);
}

}  // namespace
}  // namespace msb
