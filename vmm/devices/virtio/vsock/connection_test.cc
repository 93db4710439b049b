// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/connection.h"

#include <optional>
#include <string>

#include "vmm/devices/virtio/vsock/connection_fixture.h"

namespace msb {
namespace {

using State = Connection::State;
using virtio::VsockOp;

class ConnectionTest : public ConnectionFixture {};

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
  Connection::State state;
  virtio::VsockOp op;
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
