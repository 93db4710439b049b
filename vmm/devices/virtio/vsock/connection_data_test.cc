// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a connection does with bytes and credit.

#include <optional>
#include <string>

#include "vmm/devices/virtio/vsock/connection_fixture.h"

namespace msb {
namespace {

class ConnectionDataTest : public ConnectionFixture {};

// --- Guest to host ---

TEST_F(ConnectionDataTest, DataGoesStraightToTheHost) {
  Open();
  GuestSends("one ");
  GuestSends("two");
  EXPECT_EQ(host_.written, "one two");
  EXPECT_FALSE(connection_->wants_to_send());  // no packet for a packet
}

TEST_F(ConnectionDataTest, WhatTheHostDoesNotTakeWaitsInOrder) {
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

TEST_F(ConnectionDataTest, AFullWindowIsAllowedAndAByteMoreIsNot) {
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

TEST_F(ConnectionDataTest, AWindowIsNotLargerThanWhatTheGuestWasTold) {
  Open();
  GuestSends(std::string(kWindow / 2 - 1, 'x'));  // taken by the host, but the guest cannot know
  GuestSends(std::string(kWindow / 2 + 2, 'x'));
  EXPECT_TRUE(connection_->TakeResetOwed());
}

TEST_F(ConnectionDataTest, CreditIsGivenBackAtHalfTheWindow) {
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

TEST_F(ConnectionDataTest, AGuestThatHasLessUnderWayThanTheWindowGetsItsCreditSooner) {
  guest_buf_alloc_ = 100;  // Linux sends no more than that at a time, whatever the window
  Open();
  GuestSends(std::string(49, 'x'));
  EXPECT_FALSE(connection_->wants_to_send());
  GuestSends("x");
  EXPECT_EQ(TakeOp(), VsockOp::kCreditUpdate);
}

TEST_F(ConnectionDataTest, AGuestWithoutABufferGetsItsCreditAtOnceAndOnce) {
  guest_buf_alloc_ = 0;
  Open();
  EXPECT_FALSE(connection_->wants_to_send());
  GuestSends("x");
  EXPECT_EQ(TakeOp(), VsockOp::kCreditUpdate);
  EXPECT_FALSE(connection_->wants_to_send());
}

TEST_F(ConnectionDataTest, CreditIsNotGivenBackForWhatWaits) {
  Open();
  host_.room = 10;
  GuestSends(std::string(kWindow, 'x'));
  EXPECT_FALSE(connection_->wants_to_send());

  host_.room = kWindow / 2 - 10;
  connection_->OnStreamReady(HostStream::kWritable);

  EXPECT_EQ(TakeOp(), VsockOp::kCreditUpdate);
}

TEST_F(ConnectionDataTest, DataCarriesTheCreditInPlaceOfAnUpdate) {
  Open();
  GuestSends(std::string(kWindow / 2, 'x'));
  HostSends("y");

  EXPECT_EQ(TakeOp(), std::nullopt);
  EXPECT_EQ(TakeData(), "y");
  EXPECT_EQ(connection_->DataHeader().fwd_cnt, kWindow / 2);
  EXPECT_EQ(connection_->DataHeader().op, VsockOp::kReadWrite);

  EXPECT_FALSE(connection_->wants_to_send());
}

TEST_F(ConnectionDataTest, ACreditRequestIsAnswered) {
  Open();
  Guest(VsockOp::kCreditRequest);
  EXPECT_EQ(TakeOp(), VsockOp::kCreditUpdate);
  EXPECT_FALSE(connection_->wants_to_send());
}

TEST_F(ConnectionDataTest, EmptyDataIsNothing) {
  Open();
  host_.room = 0;
  GuestSends("");
  EXPECT_EQ(connection_->state(), State::kOpen);
  EXPECT_EQ(host_.interest, HostStream::WriteInterest::kOff);
}

TEST_F(ConnectionDataTest, CountersMayWrap) {
  Open();
  const std::string chunk(kWindow / 2, 'x');
  for (uint64_t sent = 0; sent <= uint64_t{1} << 20; sent += chunk.size()) {
    GuestSends(chunk);
    ASSERT_EQ(TakeOp(), VsockOp::kCreditUpdate);
  }
  EXPECT_EQ(connection_->state(), State::kOpen);
}

// --- Host to guest ---

TEST_F(ConnectionDataTest, TheGuestsCreditLimitsWhatIsRead) {
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

TEST_F(ConnectionDataTest, AGuestThatHasHadMoreThanWasSentGetsNothing) {
  guest_fwd_cnt_ = 1;
  Open();
  HostSends("abc");
  EXPECT_EQ(connection_->ReadGoal(), 0u);
}

TEST_F(ConnectionDataTest, AGuestWithoutABufferGetsNothing) {
  guest_buf_alloc_ = 0;
  Open();
  HostSends("abc");
  EXPECT_EQ(connection_->ReadGoal(), 0u);
}

TEST_F(ConnectionDataTest, TheOfferGrowsWithWhatTheHostFills) {
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

TEST_F(ConnectionDataTest, AReadThatFindsNothingWaitsForNews) {
  Open();
  connection_->OnStreamReady(HostStream::kReadable);
  EXPECT_GT(connection_->ReadGoal(), 0u);
  EXPECT_EQ(TakeData(), "");
  EXPECT_FALSE(connection_->wants_to_send());
}

}  // namespace
}  // namespace msb
