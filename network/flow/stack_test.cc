// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/stack.h"

#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "network/flow/ping_flow.h"
#include "tests/support/matchers.h"

namespace msb::net {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

IpAddress Address(absl::string_view text) { return *IpAddress::Parse(text); }

// A stack whose link the test has the other end of.
class StackTest : public testing::Test {
 protected:
  static constexpr uint16_t kMtu = 65520;

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    guest_ = UniqueFd(ends[0]);
    environment_.reset(new Environment{.loop = *loop_,
                                       .addresses = {.guest_v4 = Address("192.0.0.2"),
                                                     .gateway_v4 = Address("192.0.0.1"),
                                                     .guest_v6 = Address("fd6d:7362::2"),
                                                     .gateway_v6 = Address("fd6d:7362::1")},
                                       .link_addresses = {},
                                       .mtu = kMtu,
                                       .limits = {},
                                       .dns_servers = {}});
    environment_->link =
        std::make_unique<FrameStream>(*loop_, UniqueFd(ends[1]),
                                      FrameStream::Handlers{.on_frame = [](Bytes) {},
                                                            .on_batch_end = [] {},
                                                            .on_drained = [] {},
                                                            .on_end = [](const absl::Status&) {}});
    ASSERT_OK(environment_->link->Start());
    stack_ = std::make_unique<Stack>(*environment_);
  }

  void FromGuest(const Frame& frame) {
    std::vector<uint8_t> bytes(frame.header, frame.header + frame.header_size);
    const Bytes rest = frame.payload.bytes();
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    stack_->OnFrame(bytes);
  }
  Frame Syn(const IpAddress& to) const {
    return BuildTcp({}, {.source = environment_->addresses.GuestFor(to),
                         .destination = to,
                         .source_port = 1000,
                         .destination_port = 80,
                         .flags = kTcpSyn,
                         .mss = 1000});
  }

  // The frames that the guest has got since the last call.
  std::vector<std::string> Received() {
    std::vector<char> buffer(1 << 20);
    while (true) {
      environment_->link->Flush();
      const ssize_t got = ::recv(guest_.get(), buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      received_.append(buffer.data(), static_cast<size_t>(got));
      loop_->After(absl::ZeroDuration(), [this] { loop_->Stop(); });
      EXPECT_OK(loop_->Run());
    }
    std::vector<std::string> frames;
    size_t at = 0;
    while (at < received_.size()) {
      const size_t size = Load32(reinterpret_cast<const uint8_t*>(&received_[at]));
      frames.push_back(received_.substr(at + 4, size));
      at += 4 + size;
    }
    received_.clear();
    return frames;
  }

  std::unique_ptr<EventLoop> loop_;
  UniqueFd guest_;
  std::unique_ptr<Environment> environment_;
  std::unique_ptr<Stack> stack_;
  std::string received_;
};

TEST_F(StackTest, PassesNoEchoReplyThatIsLongerThanTheLinkTakes) {
  for (const auto& [peer, header, type] :
       {std::tuple{"8.8.8.8", 20, kEchoReplyV4}, {"2606:4700::1111", 40, kEchoReplyV6}}) {
    PingFlow flow(*environment_, Address(peer), Address(peer), /*id=*/7);
    const size_t longest = kMtu - static_cast<size_t>(header);
    for (const size_t size : {longest, longest + 1, size_t{65535}}) {
      const std::string message = MakeEcho(type, 0, 1, std::vector<uint8_t>(size - 8));
      flow.ToGuest({reinterpret_cast<const uint8_t*>(message.data()), message.size()});
    }
    EXPECT_THAT(Received(), ElementsAre(SizeIs(kEthernetBytes + kMtu))) << peer;
  }
}

TEST_F(StackTest, KeepsNoMoreAnswersThanAGuestThatTakesNoneMayHaveWaiting) {
  const IpAddress guest = environment_->addresses.guest_v4;
  const IpAddress gateway = environment_->addresses.gateway_v4;
  const auto echo = [&](size_t size) {
    return BuildIcmp({}, guest, gateway,
                     MakeEcho(kEchoRequestV4, 1, 1, std::vector<uint8_t>(size)));
  };
  const Frame syn = Syn(gateway);
  const std::vector<uint8_t> nothing(4);
  const Frame datagram = BuildUdp({}, guest, 1000, gateway, 7, MakePayload(nothing));
  const size_t bound = FrameStream::kAnswersBytes + FrameStream::kMaxFrameBytes + 4;
  for (int i = 0; i < 20000; ++i) {
    FromGuest(syn);
    FromGuest(datagram);
    if (i % 100 == 0) FromGuest(echo(60000));
    ASSERT_LE(environment_->link->queued_bytes(), bound);
  }
  EXPECT_TRUE(environment_->link->congested());
  EXPECT_THAT(Received(), Not(IsEmpty()));
  FromGuest(echo(100));
  EXPECT_THAT(Received(), ElementsAre(SizeIs(kEthernetBytes + 20 + 8 + 100)));
}

TEST_F(StackTest, AnswersBehindADownloadThatFillsTheLink) {
  while (!environment_->link->congested()) {
    environment_->link->Send(BuildRaw({}, 0, std::string(65000, 'x')));
  }
  for (const char* denied : {"10.0.0.1", "fd00::1"}) FromGuest(Syn(Address(denied)));
  const std::vector<uint8_t> query = {0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
  FromGuest(BuildUdp({}, environment_->addresses.guest_v4, 1000, environment_->addresses.gateway_v4,
                     53, MakePayload(query)));
  const std::vector<std::string> frames = Received();
  ASSERT_GT(frames.size(), 3u);
  const auto* const answers = &frames[frames.size() - 3];
  constexpr size_t kTcpFlagsAt = 13;
  EXPECT_EQ(answers[0].at(kEthernetBytes + 20 + kTcpFlagsAt), kTcpRst | kTcpAck);
  EXPECT_EQ(answers[1].at(kEthernetBytes + 40 + kTcpFlagsAt), kTcpRst | kTcpAck);
  EXPECT_THAT(answers[2], SizeIs(kEthernetBytes + 20 + 8 + query.size()));
}

TEST_F(StackTest, TellsWhoWaitsForTheRateThatThereIsRoom) {
  environment_->down = TokenBucket(1000);
  EXPECT_FALSE(environment_->WaitForRoom());
  environment_->down.Take(600, absl::Now());  // half a second's
  int told = 0;
  environment_->on_room = [&] {
    ++told;
    EXPECT_FALSE(environment_->WaitForRoom());
    loop_->Stop();
  };
  EXPECT_TRUE(environment_->WaitForRoom());
  EXPECT_TRUE(environment_->WaitForRoom());
  loop_->After(absl::Seconds(5), [this] { loop_->Stop(); });
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(told, 1);
}

TEST_F(StackTest, CutsADnsAnswerThatIsLongerThanTheLinkTakes) {
  // The question alone, which is the whole answer where there is no name server.
  std::vector<uint8_t> query = {0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 40};
  query.insert(query.end(), 40, 'a');
  query.insert(query.end(), {0, 0, 1, 0, 1});
  constexpr size_t kDnsAt = kEthernetBytes + 20 + 8;
  for (const bool fits : {true, false}) {
    environment_->mtu = static_cast<uint16_t>(kUdpOverheadBytes + query.size() - (fits ? 0 : 1));
    FromGuest(BuildUdp({}, environment_->addresses.guest_v4, 1000,
                       environment_->addresses.gateway_v4, 53, MakePayload(query)));
    const std::vector<std::string> frames = Received();
    ASSERT_THAT(frames, ElementsAre(SizeIs(kDnsAt + query.size())));
    constexpr int kTruncated = 2;
    EXPECT_EQ((frames[0].at(kDnsAt + 2) & kTruncated) == 0, fits);
  }
}

TEST_F(StackTest, LosesWhatALinkHasNoRoomFor) {
  for (int i = 0; i < 100; ++i) {
    environment_->link->Send(BuildRaw({}, 0, std::string(60000, 'x')));
  }
  EXPECT_LE(environment_->link->queued_bytes(), FrameStream::kMaxQueuedBytes);
}

}  // namespace
}  // namespace msb::net
