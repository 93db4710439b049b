// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Transfers past the daemon, as a client of the socket that is no msbctl sees them.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/descriptors.h"
#include "base/frames.h"
#include "base/unix_socket.h"
#include "base/wait_for.h"
#include "msb/agent/v1/agent.pb.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/api/api_fixture.h"

namespace msb {
namespace {

namespace api = msb::v1;
namespace wire = msb::agent::v1;
using testing::HasSubstr;
using testing::SizeIs;

constexpr uid_t kStranger = 65534;

std::string Framed(const google::protobuf::MessageLite& message) {
  std::string frame;
  AppendFrame(message.SerializeAsString(), frame);
  return frame;
}

api::OpenTransferRequest WriteRequest(const std::string& path) {
  api::OpenTransferRequest request;
  request.set_protocol_version(wire::WIRE_PROTOCOL_VERSION);
  request.mutable_write_file()->set_sandbox("box");
  request.mutable_write_file()->set_path(path);
  return request;
}

class DirectTransferTest : public ApiFixture {
 protected:
  void SetUp() override {
    ApiFixture::SetUp();
    MakeBox();
    Reconnect();
  }
  void Reconnect() {
    absl::StatusOr<UniqueFd> made = ConnectUnix(socket(), Blocking::kYes);
    ASSERT_OK(made);
    daemon_side_ = *std::move(made);
  }
  void Send(const std::string& bytes) {
    ASSERT_EQ(::send(daemon_side_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void Ask(const api::OpenTransferRequest& request) { Send(kPreface + Framed(request)); }

  // nullopt: the daemon has closed.
  std::optional<api::OpenTransferResponse> Answer() {
    std::string buffer(4096, '\0');
    while (true) {
      EXPECT_OK(WaitFor(daemon_side_.get(), POLLIN, absl::Now() + absl::Seconds(20)));
      const auto got = ReceiveWithDescriptors(daemon_side_.get(), buffer, descriptors_);
      if (!got.ok()) return std::nullopt;
      reader_.Append(absl::string_view(buffer).substr(0, *got));
      const auto frame = reader_.Next();
      if (!frame.ok()) return std::nullopt;
      if (!*frame) continue;
      api::OpenTransferResponse response;
      EXPECT_TRUE(response.ParseFromString(std::string(**frame)));
      return response;
    }
  }
  std::string path(const std::string& name) const { return daemon_.dir().path() + "/" + name; }

  const std::string kPreface = std::string(1, static_cast<char>(api::TRANSFER_PREFACE));
  UniqueFd daemon_side_;
  FrameReader reader_;
  std::vector<UniqueFd> descriptors_;
};

TEST_F(DirectTransferTest, TheClientSpeaksWithTheAgentItself) {
  Ask(WriteRequest(path("file")));
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_UNSPECIFIED) << answer->message();
  ASSERT_THAT(descriptors_, SizeIs(1));
  const int agent = descriptors_.front().get();
  EXPECT_EQ(::fcntl(agent, F_GETFL) & O_NONBLOCK, 0);
  wire::HostFrame data;
  data.set_data("straight in");
  wire::HostFrame end;
  end.mutable_end();
  ASSERT_OK(WriteFrame(agent, data.SerializeAsString(), absl::InfiniteFuture()));
  ASSERT_OK(WriteFrame(agent, end.SerializeAsString(), absl::InfiniteFuture()));
  wire::AgentFrame last;
  while (!last.has_done()) {
    const auto frame = ReadFrame(agent, absl::Now() + absl::Seconds(20));
    ASSERT_OK(frame);
    ASSERT_TRUE(frame->has_value());
    ASSERT_TRUE(last.ParseFromString(**frame));
    ASSERT_FALSE(last.has_error()) << last.error().message();
  }
  EXPECT_EQ(last.done().bytes(), 11u);
  std::ifstream file(path("file"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "straight in");
}

TEST_F(DirectTransferTest, ARequestMayComeInPieces) {
  const std::string bytes = kPreface + Framed(WriteRequest(path("file")));
  for (const char byte : bytes) Send(std::string(1, byte));
  ASSERT_TRUE(Answer());
  EXPECT_THAT(descriptors_, SizeIs(1));
}

TEST_F(DirectTransferTest, AFailureHasItsReasonAndNoDescriptor) {
  api::OpenTransferRequest request = WriteRequest("/x");
  request.mutable_write_file()->set_sandbox("nobody");
  Ask(request);
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_SANDBOX_NOT_FOUND);
  EXPECT_THAT(answer->message(), HasSubstr("nobody"));
  EXPECT_THAT(descriptors_, SizeIs(0));
  EXPECT_FALSE(Answer());  // and the end
}

TEST_F(DirectTransferTest, AnotherVersionIsSentToTheCalls) {
  api::OpenTransferRequest request = WriteRequest("/x");
  request.set_protocol_version(wire::WIRE_PROTOCOL_VERSION + 1);
  Ask(request);
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_AGENT_VERSION);
}

TEST_F(DirectTransferTest, AStrangerIsToldWhatToDo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chmod(daemon_.dir().path().c_str(), 0755), 0);
  ASSERT_EQ(::syscall(SYS_setresuid, -1, kStranger, -1), 0);
  Reconnect();
  ASSERT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
  Ask(WriteRequest(path("file")));
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_PERMISSION_DENIED);
  EXPECT_THAT(answer->message(), HasSubstr("usermod -aG"));
  EXPECT_THAT(descriptors_, SizeIs(0));
}

TEST_F(DirectTransferTest, WhatIsNoRequestEndsTheConnection) {
  api::OpenTransferRequest nothing;
  nothing.set_protocol_version(wire::WIRE_PROTOCOL_VERSION);
  for (const std::string& bytes :
       {kPreface + std::string("\4\0\0\0\xff\xff\xff\xff", 8), kPreface + Framed(nothing),
        kPreface + std::string("\xff\xff\xff\xff", 4)}) {
    Reconnect();
    reader_ = FrameReader();
    Send(bytes);
    const auto answer = Answer();
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->reason(), api::REASON_UNSPECIFIED);
    EXPECT_FALSE(Answer());
  }
}

TEST_F(DirectTransferTest, ASecondRequestEndsTheConnection) {
  Ask(WriteRequest(path("file")));
  ASSERT_TRUE(Answer());
  Send(Framed(WriteRequest(path("other"))));
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_INVALID_ARGUMENT);
  EXPECT_FALSE(Answer());
}

TEST_F(DirectTransferTest, TheEndOfTheSandboxIsTold) {
  Ask(WriteRequest(path("file")));
  ASSERT_TRUE(Answer());
  ASSERT_OK(daemon_.Stop("box"));
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_SANDBOX_STOPPED) << answer->message();
}

TEST_F(DirectTransferTest, ATransferKeepsItsSandboxFromBeingIdleUntilTheClientLeaves) {
  Ask(WriteRequest(path("file")));
  ASSERT_TRUE(Answer());
  api::UpdateRequest changes;
  changes.mutable_limits()->mutable_idle_timeout()->set_nanos(20'000'000);
  ASSERT_OK(daemon_.Do(
      "box", [&](const auto& held, const Sandbox::Done& done) { done(held->Update(changes)); }));
  absl::SleepFor(absl::Milliseconds(100));  // five times as long as it may be idle
  EXPECT_EQ(daemon_.Get("box")->state(), api::SANDBOX_STATE_RUNNING);
  daemon_side_.Reset();
  ASSERT_OK(daemon_.WaitFor("box", api::SANDBOX_STATE_STOPPED));
}

TEST_F(DirectTransferTest, WhoseGuestsConnectionBrokeIsToldOfItAsTheDaemonKnowsIt) {
  daemon_.config().agent.loss_settle = absl::ZeroDuration();
  Ask(WriteRequest(path("file")));
  ASSERT_TRUE(Answer());
  ASSERT_EQ(::shutdown(daemon_side_.get(), SHUT_WR), 0);
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_FRAME_TRUNCATED);  // the sandbox is well
  EXPECT_FALSE(Answer());
}

TEST_F(DirectTransferTest, ADaemonThatEndsSaysNothingOfATransferThatGoesOn) {
  Ask(WriteRequest(path("file")));
  ASSERT_TRUE(Answer());
  server_->Shutdown();
  EXPECT_FALSE(Answer());
  wire::HostFrame end;
  end.mutable_end();
  EXPECT_OK(
      WriteFrame(descriptors_.front().get(), end.SerializeAsString(), absl::InfiniteFuture()));
}

TEST_F(DirectTransferTest, DescriptorsAreNotTaken) {
  const std::string bytes = kPreface + Framed(WriteRequest(path("file")));
  // Linux 6.16 refuses them for us.
  if (!SendWithDescriptors(daemon_side_.get(), bytes, {STDERR_FILENO}).ok()) return;
  const auto answer = Answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reason(), api::REASON_INVALID_ARGUMENT);
  EXPECT_THAT(descriptors_, SizeIs(0));
}

TEST_F(DirectTransferTest, OutOfBandDataEndsTheConnection) {
  if (::send(daemon_side_.get(), "x", 1, MSG_OOB) < 0) GTEST_SKIP() << "the kernel has none";
  EXPECT_FALSE(Answer());  // not asked for again and again
  Reconnect();
  Send(kPreface);
  ASSERT_EQ(::send(daemon_side_.get(), "x", 1, MSG_OOB), 1);
  EXPECT_FALSE(Answer());
}

TEST_F(DirectTransferTest, AConnectionThatSaysNothingHoldsUpNobody) {
  Reconnect();
  Send(kPreface);
  EXPECT_TRUE(Call(sandboxes_, &api::SandboxService::Stub::List, api::ListRequest()).ok());
}

}  // namespace
}  // namespace msb
