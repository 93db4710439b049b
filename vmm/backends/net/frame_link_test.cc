// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/backends/net/frame_link.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cstring>
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

using testing::ElementsAre;

// Runs the loop until what the test waits for has happened.
class FrameLinkTest : public testing::Test, private FrameLinkObserver {
 protected:
  FrameLinkTest() : loop_(*EventLoop::Create()), link_(*loop_, *this) {
    auto listener = ListenUnix(directory_.path() + "/net.sock");
    MSB_CHECK(listener.ok());
    MSB_CHECK(::fcntl(listener->get(), F_SETFL, O_NONBLOCK) == 0);
    MSB_CHECK(link_.Listen(*std::move(listener)).ok());
  }

  UniqueFd Connect() {
    auto peer = ConnectUnix(directory_.path() + "/net.sock", Blocking::kYes);
    MSB_CHECK(peer.ok());
    return *std::move(peer);
  }
  void RunUntil(std::function<bool()> done) {
    done_ = std::move(done);
    if (!done_()) MSB_CHECK(loop_->Run().ok());
  }
  static void Write(const UniqueFd& peer, const std::string& bytes) {
    MSB_CHECK(::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
  }

  void OnLinkChanged() override {
    states_.push_back(link_.up());
    Check();
  }
  void OnFrames() override {
    for (auto frame = link_.Peek(); !frame.empty(); frame = link_.Peek()) {
      frames_.emplace_back(frame.begin(), frame.end());
      link_.Consume();
    }
    Check();
  }
  void OnWritable() override { Check(); }
  void Check() {
    if (done_ != nullptr && done_()) loop_->Stop();
  }

  TempDir directory_;
  std::unique_ptr<EventLoop> loop_;
  FrameLink link_;
  std::function<bool()> done_;
  std::vector<bool> states_;
  std::vector<std::string> frames_;
};

TEST_F(FrameLinkTest, FindsFramesHoweverTheyAreCut) {
  const UniqueFd peer = Connect();
  const std::string frame(20, 'x');
  const std::string wire = std::string("\0\0\0\x14", 4) + frame;
  Write(peer, wire + wire.substr(0, 3));
  RunUntil([&] { return frames_.size() == 1; });
  Write(peer, wire.substr(3) + wire.substr(0, 10));
  RunUntil([&] { return frames_.size() == 2; });
  Write(peer, wire.substr(10));
  RunUntil([&] { return frames_.size() == 3; });
  EXPECT_THAT(frames_, ElementsAre(frame, frame, frame));
}

TEST_F(FrameLinkTest, GoesDownWithItsPeerAndUpWithTheNext) {
  UniqueFd peer = Connect();
  RunUntil([&] { return states_.size() == 1; });
  peer.Reset();
  RunUntil([&] { return states_.size() == 2; });
  peer = Connect();
  RunUntil([&] { return states_.size() == 3; });
  EXPECT_THAT(states_, ElementsAre(true, false, true));
}

TEST_F(FrameLinkTest, TakesTheSocketThatAConnectionSendsForTheLink) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  const UniqueFd peer = Connect();
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = theirs.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  ASSERT_EQ(::sendmsg(peer.get(), &message, 0), 1);
  theirs.Reset();
  Write(ours, std::string("\0\0\0\x14", 4) + std::string(20, 'x'));
  RunUntil([&] { return frames_.size() == 1; });
  EXPECT_TRUE(link_.up());
}

TEST_F(FrameLinkTest, EndsAtAFrameOfAnImpossibleLength) {
  for (const std::string& length : {std::string("\0\0\0\xd", 4), std::string("\x7f\0\0\0", 4)}) {
    states_.clear();
    const UniqueFd peer = Connect();
    Write(peer, length);
    RunUntil([&] { return states_.size() == 2; });
    EXPECT_THAT(states_, ElementsAre(true, false));
  }
}

TEST_F(FrameLinkTest, SaysHowMuchItTookAndWhenThereIsRoomAgain) {
  const UniqueFd peer = Connect();
  RunUntil([&] { return link_.up(); });
  std::string bytes(8 << 20, 'x');
  const iovec part{bytes.data(), bytes.size()};
  const size_t sent = link_.Send({part});
  ASSERT_GT(sent, 0u);
  ASSERT_LT(sent, bytes.size());
  size_t drained = 0;
  while (drained < sent) {
    const ssize_t got = ::recv(peer.get(), bytes.data(), bytes.size(), 0);
    ASSERT_GT(got, 0);
    drained += static_cast<size_t>(got);
  }
  size_t again = 0;
  RunUntil([&] { return (again = link_.Send({part})) > 0; });
  EXPECT_GT(again, 0u);
}

}  // namespace
}  // namespace msb
