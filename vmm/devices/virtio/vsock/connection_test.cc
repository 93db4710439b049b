// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/connection.h"

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "tests/support/matchers.h"
#include "vmm/devices/virtio/vsock/fake_stream.h"

namespace msb {
namespace {

using virtio::VsockHeader;
using virtio::VsockOp;
using State = Connection::State;
using Wait = Connection::Wait;

constexpr uint32_t kWindow = 1000;
constexpr ConnectionKey kKey{.host_port = 1025, .guest_port = 77};
constexpr uint32_t kReceive = virtio::kVsockShutdownReceive;
constexpr uint32_t kSend = virtio::kVsockShutdownSend;
constexpr uint32_t kBoth = virtio::kVsockShutdownBoth;

// A connection between a test that plays the guest and a FakeHost.
class ConnectionTest : public testing::Test {
 protected:
  Connection::Endpoints endpoints() const {
    return {.key = kKey, .guest_cid = 3, .window_bytes = kWindow};
  }
  void ConnectFromHost() {
    connection_ = std::make_unique<Connection>(endpoints(), std::make_unique<FakeStream>(host_));
  }
  void ConnectFromGuest() {
    connection_ = std::make_unique<Connection>(endpoints(), std::make_unique<FakeStream>(host_),
                                               GuestHeader(VsockOp::kRequest));
  }
  // Connected by the host, "OK" read.
  void Open() {
    ConnectFromHost();
    ASSERT_EQ(TakeOp(), VsockOp::kRequest);
    Guest(VsockOp::kResponse);
    ASSERT_EQ(connection_->state(), State::kOpen);
    host_.written.clear();
  }

  VsockHeader GuestHeader(VsockOp op) const {
    return {.src_cid = 3,
            .dst_cid = virtio::kVsockHostCid,
            .src_port = kKey.guest_port,
            .dst_port = kKey.host_port,
            .length = 0,
            .type = virtio::VsockType::kStream,
            .op = op,
            .flags = 0,
            .buf_alloc = guest_buf_alloc_,
            .fwd_cnt = guest_fwd_cnt_};
  }
  void Guest(VsockOp op, uint32_t flags = 0) {
    TxPacket packet{.header = GuestHeader(op), .payload = {}};
    packet.header.flags = flags;
    connection_->OnPacket(packet);
  }
  void GuestSends(std::string bytes) {
    TxPacket packet{.header = GuestHeader(VsockOp::kReadWrite), .payload = {}};
    packet.header.length = static_cast<uint32_t>(bytes.size());
    packet.payload.push_back({.iov_base = bytes.data(), .iov_len = bytes.size()});
    connection_->OnPacket(packet);
  }
  void HostSends(const std::string& bytes) {
    host_.to_read += bytes;
    connection_->OnStreamReady(HostStream::kReadable);
  }
  std::optional<VsockOp> TakeOp() {
    const std::optional<VsockHeader> header = connection_->TakeControl();
    if (!header.has_value()) return std::nullopt;
    return header->op;
  }
  // What the guest gets as data, with buffers of any size.
  std::string TakeData() {
    std::string all;
    while (const size_t goal = connection_->ReadGoal()) {
      std::string room(goal, '\0');
      const iovec piece{.iov_base = room.data(), .iov_len = room.size()};
      room.resize(connection_->ReadInto({&piece, 1}));
      all += room;
    }
    return all;
  }

  FakeHost host_;
  std::unique_ptr<Connection> connection_;
  uint32_t guest_buf_alloc_ = 100'000;
  uint32_t guest_fwd_cnt_ = 0;
};

// --- Connecting ---

TEST_F(ConnectionTest, AHostsConnectIsARequestAndTheGuestsResponseIsAnOkLine) {
  ConnectFromHost();
  ASSERT_TRUE(connection_->wants_to_send());
  const std::optional<VsockHeader> request = connection_->TakeControl();
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->op, VsockOp::kRequest);
  EXPECT_EQ(request->src_cid, 2u);
  EXPECT_EQ(request->dst_cid, 3u);
  EXPECT_EQ(request->src_port, 1025u);
  EXPECT_EQ(request->dst_port, 77u);
  EXPECT_EQ(request->buf_alloc, kWindow);
  EXPECT_FALSE(connection_->wants_to_send());
  EXPECT_EQ(connection_->waiting_for(), Wait::kResponse);

  Guest(VsockOp::kResponse);

  EXPECT_EQ(connection_->state(), State::kOpen);
  EXPECT_EQ(connection_->waiting_for(), Wait::kNobody);
  EXPECT_EQ(host_.written, "OK 1025\n");
}

TEST_F(ConnectionTest, AGuestsConnectIsAnsweredAndGetsNoOkLine) {
  ConnectFromGuest();
  EXPECT_EQ(connection_->state(), State::kAccepting);

  EXPECT_EQ(TakeOp(), VsockOp::kResponse);

  EXPECT_EQ(connection_->state(), State::kOpen);
  GuestSends("hello");
  EXPECT_EQ(host_.written, "hello");
}

TEST_F(ConnectionTest, ARefusalOfTheGuestEndsItWithoutAWord) {
  ConnectFromHost();
  ASSERT_EQ(TakeOp(), VsockOp::kRequest);

  Guest(VsockOp::kReset);

  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_FALSE(connection_->TakeResetOwed());
  EXPECT_EQ(host_.written, "");
}

TEST_F(ConnectionTest, AClientThatLeavesBeforeItsRequestIsSentIsForgotten) {
  ConnectFromHost();
  connection_->OnStreamReady(HostStream::kReadable | HostStream::kInputEnds | HostStream::kGone);
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_FALSE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AClientThatLeavesAfterItsRequestIsSentCostsAReset) {
  ConnectFromHost();
  ASSERT_EQ(TakeOp(), VsockOp::kRequest);
  connection_->OnStreamReady(HostStream::kReadable | HostStream::kInputEnds | HostStream::kGone);
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
  EXPECT_EQ(connection_->ResetHeader().op, VsockOp::kReset);
  EXPECT_EQ(connection_->ResetHeader().dst_port, 77u);
}

TEST_F(ConnectionTest, ARequestThatNobodyAnswersIsGivenUp) {
  ConnectFromHost();
  ASSERT_EQ(TakeOp(), VsockOp::kRequest);
  connection_->OnTimeout();
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, ARequestThatCouldNotBeSentInTimeIsGivenUpSilently) {
  ConnectFromHost();
  connection_->OnTimeout();
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_FALSE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, WhatAClientSendsBeforeTheAnswerIsKeptForTheGuest) {
  ConnectFromHost();
  ASSERT_EQ(TakeOp(), VsockOp::kRequest);
  HostSends("early");
  EXPECT_FALSE(connection_->wants_to_send());

  Guest(VsockOp::kResponse);

  EXPECT_EQ(TakeData(), "early");
}

// --- Packets that the state does not allow ---

struct Intruder {
  const char* name;
  State state;
  VsockOp op;
};
class ForbiddenPacketTest : public ConnectionTest, public testing::WithParamInterface<Intruder> {};

TEST_P(ForbiddenPacketTest, IsAnsweredByAReset) {
  switch (GetParam().state) {
    case State::kRequested:
      ConnectFromHost();
      ASSERT_EQ(TakeOp(), VsockOp::kRequest);
      break;
    case State::kAccepting:
      ConnectFromGuest();
      break;
    default:
      Open();
  }
  ASSERT_EQ(connection_->state(), GetParam().state);

  Guest(GetParam().op);

  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
  EXPECT_EQ(host_.written, "");
}

INSTANTIATE_TEST_SUITE_P(
    Each, ForbiddenPacketTest,
    testing::Values(Intruder{"DataBeforeResponse", State::kRequested, VsockOp::kReadWrite},
                    Intruder{"ShutdownBeforeResponse", State::kRequested, VsockOp::kShutdown},
                    Intruder{"RequestForRequest", State::kRequested, VsockOp::kRequest},
                    Intruder{"DataBeforeOurResponse", State::kAccepting, VsockOp::kReadWrite},
                    Intruder{"ResponseToNoRequest", State::kAccepting, VsockOp::kResponse},
                    Intruder{"SecondRequest", State::kAccepting, VsockOp::kRequest},
                    Intruder{"SecondResponse", State::kOpen, VsockOp::kResponse},
                    Intruder{"RequestWhenOpen", State::kOpen, VsockOp::kRequest},
                    Intruder{"InvalidOperation", State::kOpen, VsockOp::kInvalid},
                    Intruder{"UnknownOperation", State::kOpen, static_cast<VsockOp>(8)}),
    [](const auto& intruder) { return std::string(intruder.param.name); });

// --- Guest to host ---

TEST_F(ConnectionTest, DataGoesStraightToTheHost) {
  Open();
  GuestSends("one ");
  GuestSends("two");
  EXPECT_EQ(host_.written, "one two");
  EXPECT_FALSE(connection_->wants_to_send());  // no packet for a packet
}

TEST_F(ConnectionTest, WhatTheHostDoesNotTakeWaitsInOrder) {
  Open();
  host_.room = 3;
  GuestSends("abcde");
  GuestSends("fgh");
  EXPECT_EQ(host_.written, "abc");
  EXPECT_EQ(host_.interest, HostStream::WriteInterest::kOn);

  host_.room = 4;
  connection_->OnStreamReady(HostStream::kWritable);
  EXPECT_EQ(host_.written, "abcdefg");
  EXPECT_EQ(host_.interest, HostStream::WriteInterest::kOn);
  host_.room = 100;
  connection_->OnStreamReady(HostStream::kWritable);
  GuestSends("i");

  EXPECT_EQ(host_.written, "abcdefghi");
  EXPECT_EQ(host_.interest, HostStream::WriteInterest::kOff);
}

TEST_F(ConnectionTest, AFullWindowIsAllowedAndAByteMoreIsNot) {
  Open();
  host_.room = 0;
  GuestSends(std::string(kWindow - 1, 'x'));
  GuestSends("x");
  EXPECT_EQ(connection_->state(), State::kOpen);

  GuestSends("x");

  EXPECT_TRUE(connection_->TakeResetOwed());
  EXPECT_EQ(connection_->state(), State::kFlushing);  // the host gets what was rightly sent
  host_.room = 2 * kWindow;
  connection_->OnStreamReady(HostStream::kWritable);
  EXPECT_EQ(host_.written, std::string(kWindow, 'x'));
  EXPECT_EQ(connection_->state(), State::kEnded);
}

TEST_F(ConnectionTest, AWindowIsNotLargerThanWhatTheGuestWasTold) {
  Open();
  GuestSends(std::string(kWindow / 2 - 1, 'x'));  // taken by the host, but the guest cannot know
  GuestSends(std::string(kWindow / 2 + 2, 'x'));
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, CreditIsGivenBackAtHalfTheWindow) {
  Open();
  GuestSends(std::string(kWindow / 2 - 1, 'x'));
  EXPECT_FALSE(connection_->wants_to_send());
  GuestSends("x");
  ASSERT_TRUE(connection_->wants_to_send());

  const std::optional<VsockHeader> update = connection_->TakeControl();

  ASSERT_TRUE(update.has_value());
  EXPECT_EQ(update->op, VsockOp::kCreditUpdate);
  EXPECT_EQ(update->fwd_cnt, kWindow / 2);
  EXPECT_FALSE(connection_->wants_to_send());
}

TEST_F(ConnectionTest, CreditIsNotGivenBackForWhatWaits) {
  Open();
  host_.room = 10;
  GuestSends(std::string(kWindow, 'x'));
  EXPECT_FALSE(connection_->wants_to_send());

  host_.room = kWindow / 2 - 10;
  connection_->OnStreamReady(HostStream::kWritable);

  EXPECT_EQ(TakeOp(), VsockOp::kCreditUpdate);
}

TEST_F(ConnectionTest, DataCarriesTheCreditInPlaceOfAnUpdate) {
  Open();
  GuestSends(std::string(kWindow / 2, 'x'));
  HostSends("y");

  EXPECT_EQ(TakeOp(), std::nullopt);
  EXPECT_EQ(TakeData(), "y");
  EXPECT_EQ(connection_->DataHeader().fwd_cnt, kWindow / 2);
  EXPECT_EQ(connection_->DataHeader().op, VsockOp::kReadWrite);

  EXPECT_FALSE(connection_->wants_to_send());
}

TEST_F(ConnectionTest, ACreditRequestIsAnswered) {
  Open();
  Guest(VsockOp::kCreditRequest);
  EXPECT_EQ(TakeOp(), VsockOp::kCreditUpdate);
  EXPECT_FALSE(connection_->wants_to_send());
}

TEST_F(ConnectionTest, EmptyDataIsNothing) {
  Open();
  host_.room = 0;
  GuestSends("");
  EXPECT_EQ(connection_->state(), State::kOpen);
  EXPECT_EQ(host_.interest, HostStream::WriteInterest::kOff);
}

TEST_F(ConnectionTest, CountersMayWrap) {
  Open();
  const std::string chunk(kWindow / 2, 'x');
  for (uint64_t sent = 0; sent <= uint64_t{1} << 20; sent += chunk.size()) {
    GuestSends(chunk);
    ASSERT_EQ(TakeOp(), VsockOp::kCreditUpdate);
  }
  EXPECT_EQ(connection_->state(), State::kOpen);
}

// --- Host to guest ---

TEST_F(ConnectionTest, TheGuestsCreditLimitsWhatIsRead) {
  guest_buf_alloc_ = 4;
  Open();
  HostSends("abcdefgh");

  EXPECT_EQ(TakeData(), "abcd");
  EXPECT_EQ(TakeOp(), VsockOp::kCreditRequest);
  EXPECT_FALSE(connection_->wants_to_send());  // asked once

  guest_fwd_cnt_ = 3;
  Guest(VsockOp::kCreditUpdate);
  EXPECT_EQ(TakeData(), "efg");
  EXPECT_EQ(TakeOp(), VsockOp::kCreditRequest);
}

TEST_F(ConnectionTest, AGuestThatHasHadMoreThanWasSentGetsNothing) {
  guest_fwd_cnt_ = 1;
  Open();
  HostSends("abc");
  EXPECT_EQ(connection_->ReadGoal(), 0u);
}

TEST_F(ConnectionTest, AGuestWithoutABufferGetsNothing) {
  guest_buf_alloc_ = 0;
  Open();
  HostSends("abc");
  EXPECT_EQ(connection_->ReadGoal(), 0u);
}

TEST_F(ConnectionTest, TheOfferGrowsWithWhatTheHostFills) {
  Open();
  HostSends(std::string(90'000, 'x'));
  const size_t first = connection_->ReadGoal();
  std::string room(first, '\0');
  const iovec piece{.iov_base = room.data(), .iov_len = room.size()};
  EXPECT_EQ(connection_->ReadInto({&piece, 1}), first);
  EXPECT_EQ(connection_->ReadGoal(), 2 * first);

  TakeData();
  HostSends("x");

  EXPECT_EQ(connection_->ReadGoal(), first);
}

TEST_F(ConnectionTest, AReadThatFindsNothingWaitsForNews) {
  Open();
  connection_->OnStreamReady(HostStream::kReadable);
  EXPECT_GT(connection_->ReadGoal(), 0u);
  EXPECT_EQ(TakeData(), "");
  EXPECT_FALSE(connection_->wants_to_send());
}

// --- Half closes ---

TEST_F(ConnectionTest, TheHostsEndOfStreamIsAShutdownBehindItsData) {
  Open();
  host_.input_end = HostStream::State::kEnded;
  host_.to_read = "last";
  connection_->OnStreamReady(HostStream::kReadable | HostStream::kInputEnds);
  EXPECT_EQ(TakeOp(), std::nullopt);
  EXPECT_EQ(TakeData(), "last");

  const std::optional<VsockHeader> shutdown = connection_->TakeControl();

  ASSERT_TRUE(shutdown.has_value());
  EXPECT_EQ(shutdown->op, VsockOp::kShutdown);
  EXPECT_EQ(shutdown->flags, kSend);
  EXPECT_FALSE(connection_->wants_to_send());
  GuestSends("the guest goes on");
  EXPECT_EQ(host_.written, "the guest goes on");
  EXPECT_EQ(connection_->waiting_for(), Wait::kNobody);
}

TEST_F(ConnectionTest, TheGuestsEndOfStreamClosesTheHostsBehindItsData) {
  Open();
  host_.room = 2;
  GuestSends("last");
  Guest(VsockOp::kShutdown, kSend);
  EXPECT_FALSE(host_.write_closed);

  host_.room = 100;
  connection_->OnStreamReady(HostStream::kWritable);

  EXPECT_EQ(host_.written, "last");
  EXPECT_TRUE(host_.write_closed);
  HostSends("the host goes on");
  EXPECT_EQ(TakeData(), "the host goes on");
}

TEST_F(ConnectionTest, TheGuestsEndOfStreamWithNothingWaitingIsPassedOnAtOnce) {
  Open();
  Guest(VsockOp::kShutdown, kSend);
  EXPECT_TRUE(host_.write_closed);
  EXPECT_FALSE(host_.read_closed);
  EXPECT_EQ(connection_->state(), State::kOpen);
}

TEST_F(ConnectionTest, DataBehindTheGuestsEndOfStreamIsAnsweredByAReset) {
  Open();
  Guest(VsockOp::kShutdown, kSend);
  GuestSends("more");
  EXPECT_TRUE(connection_->TakeResetOwed());
  EXPECT_EQ(host_.written, "");
}

TEST_F(ConnectionTest, AGuestThatReadsNoMoreIsReadForNoMore) {
  Open();
  Guest(VsockOp::kShutdown, kReceive);
  EXPECT_TRUE(host_.read_closed);
  EXPECT_FALSE(host_.write_closed);
  HostSends("nobody wants it");
  EXPECT_FALSE(connection_->wants_to_send());
  GuestSends("still talking");
  EXPECT_EQ(host_.written, "still talking");
}

TEST_F(ConnectionTest, TwoHalfClosesOfTheGuestAreAWholeOne) {
  Open();
  Guest(VsockOp::kShutdown, kReceive);
  Guest(VsockOp::kShutdown, kSend);
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AHostThatReadsNoMoreIsAShutdownToTheGuestWhoseDataIsDropped) {
  Open();
  host_.room = 0;
  host_.no_room = HostStream::State::kEnded;
  GuestSends("nobody reads");

  const std::optional<VsockHeader> shutdown = connection_->TakeControl();

  ASSERT_TRUE(shutdown.has_value());
  EXPECT_EQ(shutdown->op, VsockOp::kShutdown);
  EXPECT_EQ(shutdown->flags, kReceive);
  EXPECT_EQ(shutdown->fwd_cnt, 12u);  // dropped bytes are gone too
  GuestSends("on its way already");
  EXPECT_EQ(connection_->state(), State::kOpen);
  HostSends("but the host goes on");
  EXPECT_EQ(TakeData(), "but the host goes on");
}

// --- Ends ---

TEST_F(ConnectionTest, AGuestThatClosesIsAnsweredByAResetAtOnce) {
  Open();
  Guest(VsockOp::kShutdown, kBoth);
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
  EXPECT_FALSE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AGuestThatClosesLosesNoByteToASlowHost) {
  Open();
  host_.room = 3;
  GuestSends("output");
  Guest(VsockOp::kShutdown, kBoth);
  EXPECT_TRUE(connection_->TakeResetOwed());
  ASSERT_EQ(connection_->state(), State::kFlushing);
  EXPECT_EQ(connection_->waiting_for(), Wait::kHostReader);
  EXPECT_TRUE(host_.read_closed);

  const uint32_t before = connection_->progress();
  host_.room = 2;
  connection_->OnStreamReady(HostStream::kWritable);
  EXPECT_NE(connection_->progress(), before);
  ASSERT_EQ(connection_->state(), State::kFlushing);
  host_.room = 2;
  connection_->OnStreamReady(HostStream::kWritable);

  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_EQ(host_.written, "output");
}

TEST_F(ConnectionTest, AHostThatNeverTakesTheRestIsGivenUp) {
  Open();
  host_.room = 0;
  GuestSends("output");
  Guest(VsockOp::kReset);
  ASSERT_EQ(connection_->state(), State::kFlushing);
  EXPECT_FALSE(connection_->TakeResetOwed());
  connection_->OnTimeout();
  EXPECT_EQ(connection_->state(), State::kEnded);
}

TEST_F(ConnectionTest, AHostThatGoesWhileItsRestIsFlushedEndsIt) {
  Open();
  host_.room = 0;
  GuestSends("output");
  Guest(VsockOp::kReset);
  connection_->OnStreamReady(HostStream::kInputEnds | HostStream::kGone);
  EXPECT_EQ(connection_->state(), State::kEnded);
}

TEST_F(ConnectionTest, AClientThatClosesIsAShutdownBehindItsDataAndWaitsForTheGuest) {
  Open();
  host_.to_read = "goodbye";
  host_.input_end = HostStream::State::kEnded;
  connection_->OnStreamReady(HostStream::kReadable | HostStream::kInputEnds | HostStream::kGone);
  EXPECT_EQ(connection_->waiting_for(), Wait::kGuestReader);
  EXPECT_EQ(TakeOp(), std::nullopt);
  const uint32_t before = connection_->progress();
  EXPECT_EQ(TakeData(), "goodbye");
  EXPECT_NE(connection_->progress(), before);

  const std::optional<VsockHeader> shutdown = connection_->TakeControl();
  ASSERT_TRUE(shutdown.has_value());
  EXPECT_EQ(shutdown->flags, kBoth);
  EXPECT_EQ(connection_->waiting_for(), Wait::kReset);

  Guest(VsockOp::kReset);
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_FALSE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AGoneClientWhoseRestFindsNoCreditIsAnnouncedAsFarAsItIsKnown) {
  guest_buf_alloc_ = 0;
  Open();
  connection_->OnStreamReady(HostStream::kInputEnds | HostStream::kGone);
  const std::optional<VsockHeader> shutdown = connection_->TakeControl();
  ASSERT_TRUE(shutdown.has_value());
  EXPECT_EQ(shutdown->flags, kReceive);
  EXPECT_EQ(TakeOp(), VsockOp::kCreditRequest);
  connection_->OnTimeout();
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AGuestThatNeverAnswersAShutdownIsReset) {
  Open();
  host_.input_end = HostStream::State::kEnded;
  connection_->OnStreamReady(HostStream::kInputEnds | HostStream::kGone);
  EXPECT_EQ(TakeData(), "");
  EXPECT_EQ(TakeOp(), VsockOp::kShutdown);
  ASSERT_EQ(connection_->waiting_for(), Wait::kReset);
  connection_->OnTimeout();
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AGoneHostAndAGuestThatReadsNoMoreLeaveNothingToWaitFor) {
  Open();
  Guest(VsockOp::kShutdown, kReceive);
  connection_->OnStreamReady(HostStream::kInputEnds | HostStream::kGone);
  const std::optional<VsockHeader> shutdown = connection_->TakeControl();
  ASSERT_TRUE(shutdown.has_value());
  EXPECT_EQ(shutdown->flags, kBoth);
}

TEST_F(ConnectionTest, ABrokenStreamIsAReset) {
  Open();
  host_.room = 0;
  host_.no_room = HostStream::State::kBroken;
  GuestSends("x");
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, AStreamThatBreaksWhileItIsReadIsAReset) {
  Open();
  host_.input_end = HostStream::State::kBroken;
  connection_->OnStreamReady(HostStream::kReadable);
  EXPECT_EQ(TakeData(), "");
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionTest, ADeviceResetIsNotAnnounced) {
  Open();
  connection_->OnGuestGone();
  EXPECT_EQ(connection_->state(), State::kEnded);
  EXPECT_FALSE(connection_->TakeResetOwed());
}

}  // namespace
}  // namespace msb
