// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/backends/fs/fuse_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::Pair;

// The server's end, and the loop turned by hand: by Drain, or until a condition holds.
class FuseChannelTest : public testing::Test {
 protected:
  FuseChannelTest() {
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    server_ = UniqueFd(ends[1]);
    auto loop = EventLoop::Create();
    MSB_CHECK(loop.ok());
    loop_ = *std::move(loop);
    FuseChannel::Callbacks callbacks{.on_done =
                                         [this](uint32_t slot, uint32_t written) {
                                           done_.push_back({slot, written});
                                         },
                                     .on_turn_end = [this] { loop_->Stop(); },
                                     .on_end =
                                         [this](const absl::Status& why) {
                                           end_ = why;
                                           loop_->Stop();
                                         }};
    auto channel = FuseChannel::Create(*loop_, UniqueFd(ends[0]), std::move(callbacks));
    MSB_CHECK(channel.ok());
    channel_ = *std::move(channel);
  }

  absl::Span<uint8_t> Bytes(const std::string& text) {
    memory_.emplace_back(text.begin(), text.end());
    return absl::MakeSpan(memory_.back());
  }
  absl::Span<uint8_t> Room(size_t size) {
    memory_.emplace_back(size);
    return absl::MakeSpan(memory_.back());
  }

  FuseChannel::Slot Submit(uint64_t unique, std::vector<absl::Span<uint8_t>> body,
                           std::vector<absl::Span<uint8_t>> reply) {
    FuseChannel::Request request;
    request.header.length = sizeof(FuseRequestHeader);
    request.header.unique = unique;
    for (const auto& part : body) {
      request.header.length += static_cast<uint32_t>(part.size());
      request.body.push_back(part);
    }
    for (const auto& part : reply) request.reply.push_back(part);
    return channel_->Submit(std::move(request));
  }

  std::string ReadExactly(size_t size) {
    std::string bytes(size, '\0');
    MSB_CHECK(::recv(server_.get(), bytes.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size));
    return bytes;
  }
  FuseRequestHeader ReadHeader() {
    FuseRequestHeader header;
    std::memcpy(&header, ReadExactly(sizeof(header)).data(), sizeof(header));
    return header;
  }
  void Answer(uint64_t unique, const std::string& payload, int32_t error = 0) {
    const FuseReplyHeader header{
        .length = static_cast<uint32_t>(sizeof(FuseReplyHeader) + payload.size()),
        .error = error,
        .unique = unique};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    bytes += payload;
    MSB_CHECK(::send(server_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
  }
  void RunLoop() { ASSERT_OK(loop_->Run()); }
  static std::string Text(absl::Span<const uint8_t> bytes) {
    return std::string(bytes.begin(), bytes.end());
  }

  std::deque<std::vector<uint8_t>> memory_;
  UniqueFd server_;
  std::unique_ptr<EventLoop> loop_;
  std::vector<std::pair<uint32_t, uint32_t>> done_;
  absl::Status end_;
  std::unique_ptr<FuseChannel> channel_;
};

TEST_F(FuseChannelTest, CarriesARequestOutAndItsReplyBackIntoScatteredBuffers) {
  const auto first = Room(10);
  const auto second = Room(6);
  const auto third = Room(100);
  const auto slot = Submit(0xabc, {Bytes("hel"), Bytes("lo")}, {first, second, third});
  channel_->Flush();

  const FuseRequestHeader header = ReadHeader();
  EXPECT_EQ(header.length, sizeof(header) + 5);
  EXPECT_EQ(header.unique, slot + 1);
  EXPECT_EQ(ReadExactly(5), "hello");
  Answer(header.unique, "a reply");
  RunLoop();

  EXPECT_THAT(done_, ElementsAre(Pair(slot, 23)));
  FuseReplyHeader reply;
  const std::string reply_bytes = Text(first) + Text(second);
  std::memcpy(&reply, reply_bytes.data(), sizeof(reply));
  EXPECT_EQ(reply.unique, 0xabc);  // the guest's own number again
  EXPECT_EQ(Text(third).substr(0, 7), "a reply");
  EXPECT_TRUE(channel_->has_room());
}

TEST_F(FuseChannelTest, MatchesRepliesThatComeInAnotherOrder) {
  const auto first_room = Room(64);
  const auto second_room = Room(64);
  const auto first = Submit(7, {}, {first_room});
  const auto second = Submit(7, {}, {second_room});  // a guest may use a number twice
  channel_->Flush();
  ReadHeader();
  ReadHeader();

  Answer(second + 1, "two");
  Answer(first + 1, "one");
  while (done_.size() < 2) RunLoop();

  EXPECT_THAT(done_, ElementsAre(Pair(second, 19), Pair(first, 19)));
  EXPECT_EQ(Text(first_room).substr(16, 3), "one");
  EXPECT_EQ(Text(second_room).substr(16, 3), "two");
}

TEST_F(FuseChannelTest, MovesMoreThanTheSocketHolds) {
  const std::string content(3 << 20, 'x');
  const auto room = Room(content.size() + sizeof(FuseReplyHeader));
  const auto slot = Submit(1, {Bytes(content)}, {room});
  std::string received;
  std::thread server([&] {
    const FuseRequestHeader header = ReadHeader();
    received = ReadExactly(header.length - sizeof(header));
    Answer(header.unique, received);
  });
  channel_->Flush();
  while (done_.empty()) RunLoop();
  server.join();

  EXPECT_EQ(received, content);
  EXPECT_THAT(done_, ElementsAre(Pair(slot, room.size())));
  EXPECT_EQ(Text(room).substr(sizeof(FuseReplyHeader)), content);
}

TEST_F(FuseChannelTest, IsDoneWithAnUnansweredRequestOnceItIsSent) {
  const auto slot = Submit(9, {Bytes("forget")}, {});
  channel_->Flush();
  EXPECT_THAT(done_, ElementsAre(Pair(slot, 0)));
  EXPECT_EQ(ReadHeader().unique, 0u);
  // A server that answers all the same is heard by nobody.
  ReadExactly(6);
  Answer(0, "?");
  const auto next = Submit(1, {}, {Room(64)});
  channel_->Flush();
  Answer(ReadHeader().unique, "");
  while (done_.size() < 2) RunLoop();
  EXPECT_THAT(done_, ElementsAre(Pair(slot, 0), Pair(next, 16)));
}

TEST_F(FuseChannelTest, ThrowsAwayTheRepliesOfWhatWasAbandoned) {
  const auto old_room = Room(64);
  const auto old_slot = Submit(1, {}, {old_room});
  channel_->Flush();
  ReadHeader();

  channel_->Abandon();
  EXPECT_FALSE(channel_->busy());
  const auto slot = Submit(2, {}, {Room(64)});
  channel_->Flush();
  EXPECT_NE(slot, old_slot);
  Answer(old_slot + 1, "too late");
  Answer(ReadHeader().unique, "");
  RunLoop();

  EXPECT_THAT(done_, ElementsAre(Pair(slot, 16)));
  EXPECT_EQ(Text(old_room), std::string(64, '\0'));
}

TEST_F(FuseChannelTest, FinishesAHalfSentRequestWithoutItsBuffers) {
  const std::string content(4 << 20, 'a');
  const auto body = Bytes(content);
  Submit(1, {body}, {Room(64)});
  channel_->Flush();  // part of it: the socket holds less

  channel_->Abandon();
  std::fill(body.begin(), body.end(), uint8_t{'b'});  // the guest's again
  const auto slot = Submit(2, {}, {Room(64)});
  std::string received;
  std::thread server([&] {
    const FuseRequestHeader old = ReadHeader();
    received = ReadExactly(old.length - sizeof(old));
    Answer(old.unique, "");
    Answer(ReadHeader().unique, "");
  });
  channel_->Flush();
  while (done_.empty()) RunLoop();
  server.join();

  EXPECT_EQ(received, content);
  EXPECT_THAT(done_, ElementsAre(Pair(slot, 16)));
}

TEST_F(FuseChannelTest, EndsWhenTheServerHangsUp) {
  Submit(1, {}, {Room(64)});
  channel_->Flush();
  server_.Reset();
  RunLoop();
  EXPECT_THAT(end_, HasReason(Reason::kHostError));
  EXPECT_TRUE(channel_->ended());
  EXPECT_FALSE(channel_->busy());
}

class NonsenseTest : public FuseChannelTest, public testing::WithParamInterface<FuseReplyHeader> {};

TEST_P(NonsenseTest, EndsTheChannel) {
  Submit(1, {}, {Room(64)});
  channel_->Flush();
  const FuseReplyHeader reply = GetParam();
  ASSERT_EQ(::send(server_.get(), &reply, sizeof(reply), 0), static_cast<ssize_t>(sizeof(reply)));
  RunLoop();
  EXPECT_THAT(end_, HasReason(Reason::kHostError));
}

INSTANTIATE_TEST_SUITE_P(Replies, NonsenseTest,
                         testing::Values(FuseReplyHeader{.length = 8, .error = 0, .unique = 1},
                                         FuseReplyHeader{.length = 16, .error = 0, .unique = 77},
                                         FuseReplyHeader{
                                             .length = 16, .error = 0, .unique = 1u << 30},
                                         FuseReplyHeader{.length = 1000, .error = 0, .unique = 1}));

TEST_F(FuseChannelTest, DrainsWhatIsUnderWay) {
  const auto slot = Submit(1, {}, {Room(64)});
  channel_->Flush();
  Answer(ReadHeader().unique, "");
  channel_->Drain(absl::InfiniteDuration());
  EXPECT_THAT(done_, ElementsAre(Pair(slot, 16)));
}

TEST_F(FuseChannelTest, EndsWhenDrainingTakesTooLong) {
  Submit(1, {}, {Room(64)});
  channel_->Flush();
  channel_->Drain(absl::Milliseconds(1));
  EXPECT_THAT(end_, HasReason(Reason::kHostError));
}

}  // namespace
}  // namespace msb
