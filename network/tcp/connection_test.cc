// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/tcp/connection.h"

#include <string>
#include <vector>

#include "tests/support/matchers.h"

namespace msb::net {
namespace {

using testing::SizeIs;

constexpr uint32_t kOurs = 0xffff'fff0;  // wraps soon
constexpr uint32_t kGuests = 5000;

std::string Text(Bytes bytes) { return std::string(bytes.begin(), bytes.end()); }

class TcpConnectionTest : public testing::Test {
 protected:
  struct Sent {
    TcpHeader header;
    std::string payload;
  };

  TcpSegment Segment(uint8_t flags, uint32_t sequence, uint32_t acknowledgement,
                     absl::string_view payload = "", uint16_t window = 1000) {
    kept_.push_back(std::string(payload));
    TcpSegment segment;
    segment.flags = flags;
    segment.sequence = sequence;
    segment.acknowledgement = acknowledgement;
    segment.window = window;
    segment.payload = {reinterpret_cast<const uint8_t*>(kept_.back().data()), payload.size()};
    return segment;
  }
  void Establish() {
    TcpSegment syn = Segment(kTcpSyn, kGuests, 0);
    syn.mss = 1000;
    syn.window_scale = 4;
    connection_.OnSyn(syn);
    connection_.Accept();
    const auto received = connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1));
    ASSERT_TRUE(received.established);
    sent_.clear();
  }
  static Payload Make(absl::string_view text) {
    return MakePayload({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }

  std::deque<std::string> kept_;
  std::vector<Sent> sent_;
  TcpConnection connection_{
      {*IpAddress::Parse("192.0.0.2"), 1000, *IpAddress::Parse("8.8.8.8"), 80},
      1500,
      kOurs,
      [this](const TcpHeader& header, const Payload& payload) {
        sent_.push_back({header, Text(payload.bytes())});
      }};
};

TEST_F(TcpConnectionTest, AnswersASynWithItsOwnAndTheOptionsThatTheGuestHas) {
  TcpSegment syn = Segment(kTcpSyn, kGuests, 0);
  connection_.OnSyn(syn);
  connection_.Accept();
  ASSERT_THAT(sent_, SizeIs(1));
  EXPECT_EQ(sent_[0].header.flags, kTcpSyn | kTcpAck);
  EXPECT_EQ(sent_[0].header.acknowledgement, kGuests + 1);
  EXPECT_EQ(sent_[0].header.mss, 1460);
  EXPECT_EQ(sent_[0].header.window_scale, -1);
  EXPECT_EQ(connection_.segment_bytes(), 536u);
}

TEST_F(TcpConnectionTest, TakesDataInOrderAndAcknowledgesItOnce) {
  Establish();
  EXPECT_EQ(Text(connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "hello")).data),
            "hello");
  EXPECT_EQ(Text(connection_.OnSegment(Segment(kTcpAck, kGuests + 6, kOurs + 1, "you")).data),
            "you");
  connection_.Acknowledge();
  connection_.Acknowledge();
  ASSERT_THAT(sent_, SizeIs(1));
  EXPECT_EQ(sent_[0].header.acknowledgement, kGuests + 9);
}

TEST_F(TcpConnectionTest, TakesOnlyWhatIsNewAndNothingBehindAHole) {
  Establish();
  connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "abc"));
  EXPECT_EQ(Text(connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "abcde")).data),
            "de");
  EXPECT_TRUE(connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "ab")).data.empty());
  EXPECT_TRUE(connection_.OnSegment(Segment(kTcpAck, kGuests + 9, kOurs + 1, "x")).data.empty());
  connection_.Acknowledge();
  EXPECT_EQ(sent_.back().header.acknowledgement, kGuests + 6);
}

TEST_F(TcpConnectionTest, ShutsItsWindowByWhatIsHeldAndOpensItAgain) {
  Establish();
  connection_.SetHeld(TcpConnection::kReceiveWindow);
  connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "abc"));
  connection_.Acknowledge();
  EXPECT_EQ(sent_.back().header.window, 0);
  const auto beyond = connection_.OnSegment(Segment(kTcpAck, kGuests + 4, kOurs + 1, "abc"));
  EXPECT_TRUE(beyond.data.empty()) << "more than the guest was allowed";
  connection_.Acknowledge();
  sent_.clear();
  connection_.SetHeld(0);
  connection_.Acknowledge();
  ASSERT_THAT(sent_, SizeIs(1));
  EXPECT_EQ(sent_[0].header.window, TcpConnection::kReceiveWindow >> 7);
}

TEST_F(TcpConnectionTest, SendsWithinTheGuestsWindowOverTheWrap) {
  Establish();
  EXPECT_EQ(connection_.SendRoom(), 1000u << 4);
  connection_.Send(Make(std::string(1000, 'a')));
  connection_.Send(Make("b"));
  EXPECT_EQ(connection_.SendRoom(), (1000u << 4) - 1001);
  EXPECT_EQ(sent_[1].header.sequence, kOurs + 1001);
  const auto received = connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1002));
  EXPECT_TRUE(received.can_send);
  EXPECT_EQ(connection_.in_flight(), 0u);
}

TEST_F(TcpConnectionTest, SendsAgainWhatIsAskedForThriceAndTheNextHoleAtOnce) {
  Establish();
  for (const char* text : {"one", "two", "six"}) connection_.Send(Make(text));
  sent_.clear();
  for (int i = 0; i < 3; ++i) connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1));
  ASSERT_THAT(sent_, SizeIs(1));
  EXPECT_EQ(sent_[0].payload, "one");
  connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 4));
  ASSERT_THAT(sent_, SizeIs(2));
  EXPECT_EQ(sent_[1].payload, "two");
}

TEST_F(TcpConnectionTest, SendsAgainAfterATimeThatDoubles) {
  Establish();
  EXPECT_FALSE(connection_.TimeToRetransmit().has_value());
  connection_.Send(Make("data"));
  sent_.clear();
  const absl::Duration first = *connection_.TimeToRetransmit();
  connection_.OnTimer();
  ASSERT_THAT(sent_, SizeIs(1));
  EXPECT_EQ(sent_[0].payload, "data");
  EXPECT_EQ(*connection_.TimeToRetransmit(), 2 * first);
}

TEST_F(TcpConnectionTest, AsksAfterAClosedWindow) {
  Establish();
  connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "", 0));
  EXPECT_EQ(connection_.SendRoom(), 0u);
  ASSERT_TRUE(connection_.TimeToRetransmit().has_value());
  connection_.OnTimer();
  EXPECT_EQ(sent_.back().header.sequence, kOurs);  // one that it has had
  EXPECT_TRUE(connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 1, "", 5)).can_send);
}

TEST_F(TcpConnectionTest, EndsWhenBothHaveFinished) {
  Establish();
  const auto received =
      connection_.OnSegment(Segment(kTcpAck | kTcpFin, kGuests + 1, kOurs + 1, "bye"));
  EXPECT_EQ(Text(received.data), "bye");
  EXPECT_TRUE(received.finished);
  connection_.Finish();
  EXPECT_EQ(sent_.back().header.flags & kTcpFin, kTcpFin);
  EXPECT_EQ(sent_.back().header.acknowledgement, kGuests + 5);
  EXPECT_FALSE(connection_.finished());
  connection_.OnSegment(Segment(kTcpAck, kGuests + 5, kOurs + 2));
  EXPECT_TRUE(connection_.finished());
}

TEST_F(TcpConnectionTest, BelievesAResetOnlyInItsPlace) {
  Establish();
  EXPECT_FALSE(connection_.OnSegment(Segment(kTcpRst, kGuests + 100, 0)).reset);
  EXPECT_TRUE(connection_.OnSegment(Segment(kTcpRst, kGuests + 1, 0)).reset);
}

TEST_F(TcpConnectionTest, RefusesAcknowledgementsOfWhatWasNeverSent) {
  Establish();
  const auto received = connection_.OnSegment(Segment(kTcpAck, kGuests + 1, kOurs + 50, "x"));
  EXPECT_TRUE(received.data.empty());
}

TEST_F(TcpConnectionTest, ConnectsToAPortOfTheGuest) {
  connection_.Connect();
  ASSERT_THAT(sent_, SizeIs(1));
  EXPECT_EQ(sent_[0].header.flags, kTcpSyn);
  EXPECT_EQ(sent_[0].header.window_scale, 7);
  TcpSegment answer = Segment(kTcpSyn | kTcpAck, kGuests, kOurs + 1);
  answer.mss = 1400;
  EXPECT_TRUE(connection_.OnSegment(answer).established);
  EXPECT_EQ(sent_[1].header.flags, kTcpAck);
  EXPECT_EQ(connection_.segment_bytes(), 1400u);
}

TEST_F(TcpConnectionTest, IsResetByAGuestThatDoesNotListen) {
  connection_.Connect();
  EXPECT_FALSE(connection_.OnSegment(Segment(kTcpRst | kTcpAck, 0, kOurs)).reset);
  EXPECT_TRUE(connection_.OnSegment(Segment(kTcpRst | kTcpAck, 0, kOurs + 1)).reset);
}

}  // namespace
}  // namespace msb::net
