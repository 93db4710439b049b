// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/device_server.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "tests/support/matchers.h"
#include "vmm/vhost_user/echo_device.h"

namespace msb::vhost_user {
namespace {

class DeviceServerTest : public ::testing::Test {
 protected:
  DeviceServerTest() : loop_(*EventLoop::Create()) {
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    front_end_ = UniqueFd(ends[0]);
    server_ = *DeviceServer::Create(*loop_, UniqueFd(ends[1]), device_, tables_,
                                    [this](absl::Status status) { ended_ = std::move(status); });
  }

  void RunLoop() {
    loop_->Post([this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
    loop_->Post([this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
  }

  void Send(const std::string& bytes) {
    ASSERT_EQ(::send(front_end_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  static std::string MessageBytes(uint32_t request, uint32_t flags, const std::string& payload) {
    const Header header{request, flags, static_cast<uint32_t>(payload.size())};
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload;
  }
  std::string Receive() {
    std::string bytes(4096, '\0');
    const ssize_t got = ::recv(front_end_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }

  std::unique_ptr<EventLoop> loop_;
  EchoDevice device_;
  MemoryTables tables_;
  UniqueFd front_end_;
  std::unique_ptr<DeviceServer> server_;
  std::optional<absl::Status> ended_;
};

TEST_F(DeviceServerTest, RepliesToARequestThatCameInTwoPieces) {
  const std::string bytes = MessageBytes(1, kVersion, "");
  Send(bytes.substr(0, 5));
  RunLoop();
  EXPECT_EQ(Receive(), "");

  Send(bytes.substr(5));
  RunLoop();

  const std::string reply = Receive();
  ASSERT_EQ(reply.size(), sizeof(Header) + 8);
  Header header;
  std::memcpy(&header, reply.data(), sizeof(header));
  EXPECT_EQ(header.request, 1u);
  EXPECT_EQ(header.flags, kVersion | kFlagReply);
  EXPECT_EQ(header.size, 8u);
}

TEST_F(DeviceServerTest, AcknowledgesWhatAsksForIt) {
  Send(MessageBytes(3, kVersion | kFlagNeedReply, "") + MessageBytes(3, kVersion, ""));

  RunLoop();

  EXPECT_EQ(Receive().substr(sizeof(Header)), std::string(8, '\0'));
}

TEST_F(DeviceServerTest, EndsUnavailableWhenTheFrontEndHangsUp) {
  front_end_.Reset();

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_TRUE(absl::IsUnavailable(*ended_));
}

TEST_F(DeviceServerTest, EndsUnavailableWhenTheFrontEndIsGoneBeforeItsReply) {
  Send(MessageBytes(1, kVersion, ""));
  front_end_.Reset();

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_TRUE(absl::IsUnavailable(*ended_)) << *ended_;
}

TEST_F(DeviceServerTest, LooksAfterOthersBeforeItGoesOnWithALongRow) {
  std::string row;
  for (int i = 0; i < DeviceServer::kMaxMessagesPerTurn + 1; ++i) {
    row += MessageBytes(3, kVersion | kFlagNeedReply, "");
  }
  Send(row);
  constexpr size_t kReplyBytes = sizeof(Header) + 8;
  loop_->Post([this] { loop_->Stop(); });

  ASSERT_OK(loop_->Run());

  EXPECT_EQ(Receive().size(), DeviceServer::kMaxMessagesPerTurn * kReplyBytes);
  RunLoop();
  EXPECT_EQ(Receive().size(), kReplyBytes);
}

TEST_F(DeviceServerTest, EndsWithAReasonWhenTheStreamEndsInsideAMessage) {
  Send(MessageBytes(2, kVersion, "12345678").substr(0, 15));
  front_end_.Reset();

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

TEST_F(DeviceServerTest, EndsWithAReasonOnAnOversizedMessage) {
  std::string bytes = MessageBytes(2, kVersion, "");
  bytes[8] = bytes[9] = bytes[10] = bytes[11] = '\xff';
  Send(bytes);

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

TEST_F(DeviceServerTest, EndsWithAReasonOnAnotherVersion) {
  Send(MessageBytes(1, 2, ""));

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

TEST_F(DeviceServerTest, EndsWithAReasonOnMoreDescriptorsThanAnyMessageHas) {
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  std::array<int, kMaxDescriptors + 1> descriptors;
  descriptors.fill(event.get());
  std::string bytes = MessageBytes(3, kVersion, "");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(descriptors))] = {};
  iovec vector{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  cmsghdr* part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(descriptors));
  std::memcpy(CMSG_DATA(part), descriptors.data(), sizeof(descriptors));
  ASSERT_EQ(::sendmsg(front_end_.get(), &header, 0), static_cast<ssize_t>(bytes.size()));

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

TEST_F(DeviceServerTest, EndsWithAReasonOnARequestThatItDoesNotServe) {
  Send(MessageBytes(99, kVersion, ""));

  RunLoop();

  ASSERT_TRUE(ended_.has_value());
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

}  // namespace
}  // namespace msb::vhost_user
