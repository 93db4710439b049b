// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/host_listener.h"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/unix_socket.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

TEST(ConnectLineTest, TakesAPort) {
  EXPECT_EQ(ParseConnectLine("CONNECT 0\n"), 0u);
  EXPECT_EQ(ParseConnectLine("CONNECT 1024\n"), 1024u);
  EXPECT_EQ(ParseConnectLine("CONNECT 4294967294\n"), 4294967294u);
}

TEST(ConnectLineTest, TakesNothingElse) {
  for (const char* line :
       {"", "\n", "CONNECT", "CONNECT \n", "CONNECT 1", "CONNECT  1\n", "CONNECT 1 \n",
        "CONNECT +1\n", "CONNECT -1\n", "CONNECT 1x\n", "CONNECT 0x10\n", "connect 1\n",
        "CONNECT 4294967295\n", "CONNECT 4294967296\n", "CONNECT 99999999999999999\n",
        "CONNECT 1\r\n", " CONNECT 1\n", "CONNECT 1\n\n"}) {
    EXPECT_EQ(ParseConnectLine(line), std::nullopt) << line;
  }
}

class HostListenerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    Start(VsockLimits());
  }
  void Start(const VsockLimits& limits) {
    listener_ = std::make_unique<HostListener>(*loop_, limits, [this](UniqueFd fd, uint32_t port) {
      ports_.push_back(port);
      sockets_.push_back(std::move(fd));
    });
    ASSERT_OK_AND_ASSIGN(UniqueFd fd, ListenUnix(path_));
    ASSERT_OK(listener_->Start(std::move(fd)));
  }
  void Turn() {
    loop_->Post([this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
  }
  UniqueFd Client() {
    auto client = ConnectUnix(path_, Blocking::kNo);
    MSB_CHECK(client.ok());
    return *std::move(client);
  }
  static void Send(const UniqueFd& fd, const std::string& bytes) {
    ASSERT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  static bool IsClosed(const UniqueFd& fd) {
    char byte;
    const ssize_t got = ::recv(fd.get(), &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

  TempDir directory_;
  const std::string path_ = directory_.path() + "/v.sock";
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<HostListener> listener_;
  std::vector<uint32_t> ports_;
  std::vector<UniqueFd> sockets_;
};

TEST_F(HostListenerTest, TakesALineThatCameWithTheConnectionInOneTurn) {
  const UniqueFd client = Client();
  Send(client, "CONNECT 52\n");
  Turn();
  EXPECT_THAT(ports_, testing::ElementsAre(52));
}

TEST_F(HostListenerTest, LeavesWhatFollowsTheLine) {
  const UniqueFd client = Client();
  Send(client, "CONNECT 52\nCONNECT 53\nhello");
  Turn();
  ASSERT_THAT(ports_, testing::ElementsAre(52));
  char rest[100];
  const ssize_t size = ::recv(sockets_[0].get(), rest, sizeof(rest), MSG_DONTWAIT);
  EXPECT_EQ(std::string(rest, static_cast<size_t>(size)), "CONNECT 53\nhello");
}

TEST_F(HostListenerTest, TakesALineInPieces) {
  const UniqueFd client = Client();
  for (const char c : std::string("CONNECT 52")) {
    Send(client, std::string(1, c));
    Turn();
    ASSERT_EQ(listener_->handshakes(), 1u);
  }
  Send(client, "\n");
  Turn();
  EXPECT_THAT(ports_, testing::ElementsAre(52));
  EXPECT_EQ(listener_->handshakes(), 0u);
}

TEST_F(HostListenerTest, ClosesOnAnythingElse) {
  const UniqueFd wrong = Client(), endless = Client();
  Send(wrong, "GET / HTTP/1.1\n");
  Send(endless, std::string(33, 'C'));
  Turn();
  EXPECT_TRUE(IsClosed(wrong));
  EXPECT_TRUE(IsClosed(endless));
  EXPECT_EQ(listener_->handshakes(), 0u);
}

TEST_F(HostListenerTest, ForgetsAClientThatLeaves) {
  UniqueFd client = Client();
  Send(client, "CONN");
  Turn();
  ASSERT_EQ(listener_->handshakes(), 1u);
  client.Reset();
  Turn();
  EXPECT_EQ(listener_->handshakes(), 0u);
}

TEST_F(HostListenerTest, ClosesOnASlowClient) {
  Start({.handshake_timeout = absl::Milliseconds(1)});
  const UniqueFd client = Client();
  Send(client, "CONNECT 5");
  do {
    Turn();
  } while (listener_->handshakes() > 0 || !IsClosed(client));
  EXPECT_THAT(ports_, testing::ElementsAre());
}

TEST_F(HostListenerTest, SilentClientsDoNotKeepOthersOut) {
  Start({.max_handshakes = 2});
  const UniqueFd first = Client(), second = Client(), third = Client();
  Turn();
  EXPECT_EQ(listener_->handshakes(), 2u);
  EXPECT_TRUE(IsClosed(first));
  EXPECT_FALSE(IsClosed(second));

  const UniqueFd quick = Client();
  Send(quick, "CONNECT 52\n");
  Turn();

  EXPECT_THAT(ports_, testing::ElementsAre(52));
  EXPECT_FALSE(IsClosed(third));
}

}  // namespace
}  // namespace msb
