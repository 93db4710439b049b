// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/vsock_device.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "vmm/devices/virtio/vsock/vsock_fixture.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using virtio::kVsockRxQueue;
using virtio::kVsockShutdownBoth;
using virtio::kVsockShutdownReceive;
using virtio::kVsockShutdownSend;
using virtio::kVsockTxQueue;
using virtio::VsockHeader;

class VsockDeviceTest : public VsockFixture {
 protected:
  void SetUp() override {
    VsockFixture::SetUp();
    Attach();
  }

  // Writes until the client's socket and the device's buffer are full; returns what was written.
  std::string UseUpCredit(const GuestSocket& socket) {
    std::string written;
    uint64_t credited = 0;  // what the client's socket took
    while (written.size() - credited < VsockLimits().window_bytes) {
      const uint64_t credit = VsockLimits().window_bytes - (written.size() - credited);
      const std::string chunk(std::min<uint64_t>(30'000, credit),
                              static_cast<char>('a' + written.size() / 30'000 % 26));
      GuestWrites(socket, chunk);
      written += chunk;
      for (const FakePacket& packet : driver_->Receive()) {
        EXPECT_EQ(packet.header.op, Op::kCreditUpdate);
        credited = packet.header.fwd_cnt;
      }
    }
    return written;
  }
};

// --- Connecting ---

TEST_F(VsockDeviceTest, AClientsConnectReachesTheGuestInTheSameTurn) {
  FakeClient client = Connect(52);

  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 1u);
  const VsockHeader& request = packets[0].header;
  EXPECT_EQ(request.op, Op::kRequest);
  EXPECT_EQ(request.dst_port, 52u);
  EXPECT_EQ(request.src_cid, virtio::kVsockHostCid);
  EXPECT_EQ(request.dst_cid, kGuestCid);
  EXPECT_EQ(client.Receive(), "");

  GuestSends({request.dst_port, request.src_port}, Op::kResponse);
  EXPECT_EQ(client.Receive(), absl::StrCat("OK ", request.src_port, "\n"));
}

TEST_F(VsockDeviceTest, BytesGoBothWays) {
  Pair pair = Open();
  pair.client.Send("ping");
  Turn();
  EXPECT_EQ(ReceivedData()[pair.guest.host_port], "ping");
  GuestWrites(pair.guest, "pong");
  EXPECT_EQ(pair.client.Receive(), "pong");
}

TEST_F(VsockDeviceTest, ARefusedClientIsClosedWithoutAWord) {
  FakeClient client = Connect();
  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 1u);

  GuestSends({packets[0].header.dst_port, packets[0].header.src_port}, Op::kReset);

  EXPECT_EQ(client.Receive(), "");
  EXPECT_TRUE(client.ended());
  EXPECT_THAT(ReceivedOps(), IsEmpty());
}

TEST_F(VsockDeviceTest, WhatAClientSendsWithItsConnectLineReachesTheGuest) {
  FakeClient client = Connect();
  client.Send("early");
  Turn();
  const GuestSocket guest = GuestAccepts();
  EXPECT_EQ(ReceivedData()[guest.host_port], "early");
}

TEST_F(VsockDeviceTest, AClientThatTheGuestDoesNotAnswerIsClosed) {
  MakeAttached({.connect_timeout = absl::Milliseconds(1)});
  FakeClient client = Connect();
  TurnUntil([&] { return client.Receive().empty() && client.ended(); });
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kRequest, Op::kReset));
}

TEST_F(VsockDeviceTest, EachConnectionHasAPortOfItsOwn) {
  const Pair first = Open(), second = Open();
  EXPECT_NE(first.guest.host_port, second.guest.host_port);
}

TEST_F(VsockDeviceTest, AClientBeforeTheDriverWaitsForIt) {
  Make({});
  FakeClient client = Connect();
  EXPECT_FALSE(client.ended());
  Attach();
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kRequest));
}

TEST_F(VsockDeviceTest, ConnectionsBeyondTheLimitAreClosed) {
  MakeAttached({.max_connections = 2});
  Pair first = Open(), second = Open();
  FakeClient third = Connect();
  third.Receive();
  EXPECT_TRUE(third.ended());

  first.client.Close();
  Turn();
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kShutdown));
  GuestSends(first.guest, Op::kReset);
  Open();
}

TEST_F(VsockDeviceTest, ConnectionsBeyondTheBudgetGetTheSmallWindow) {
  MakeAttached({.window_bytes = 1000, .small_window_bytes = 100, .window_budget_bytes = 2100});
  const auto window = [&] {
    const std::vector<FakePacket> packets = driver_->Receive();
    return packets.empty() ? 0 : uint32_t{packets.back().header.buf_alloc};
  };
  FakeClient first = Connect();
  EXPECT_EQ(window(), 1000u);
  const FakeClient second = Connect();
  EXPECT_EQ(window(), 1000u);
  const FakeClient third = Connect();
  EXPECT_EQ(window(), 100u);

  first.Close();
  Turn();
  driver_->Receive();
  const FakeClient fourth = Connect();
  EXPECT_EQ(window(), 1000u);
}

// --- Batches ---

TEST_F(VsockDeviceTest, OneTurnFillsManyBuffersWithOneInterrupt) {
  Pair pair = Open();
  FakeQueue& rx = driver_->guest().queue(kVsockRxQueue);
  rx.RequestInterrupt();
  const int before = rx.interrupts();
  ASSERT_EQ(pair.client.Send(std::string(100'000, 'x')), 100'000u);

  Turn();

  EXPECT_EQ(rx.interrupts(), before + 1);
  const std::vector<FakePacket> packets = driver_->ReceiveAndHold();
  EXPECT_EQ(packets.size(), 25u);  // of 4096 bytes
}

TEST_F(VsockDeviceTest, AGuestThatAsksForNoInterruptGetsNone) {
  for (const bool event_index : {false, true}) {
    MakeAttached({}, {.event_index = event_index});
    Pair pair = Open();
    FakeQueue& rx = driver_->guest().queue(kVsockRxQueue);
    rx.SuppressInterrupts();
    const int before = rx.interrupts();
    pair.client.Send("x");
    Turn();
    EXPECT_EQ(rx.interrupts(), before);
    EXPECT_EQ(ReceivedData()[pair.guest.host_port], "x");
  }
}

TEST_F(VsockDeviceTest, ManyPacketsOfTheGuestAreTakenAtOneKick) {
  Pair pair = Open();
  for (int i = 0; i < 60; ++i) {
    VsockHeader header = Header(pair.guest, Op::kReadWrite);
    header.length = 1;
    driver_->Queue(header, std::string(1, static_cast<char>('0' + i)));
  }
  ASSERT_OK(driver_->Kick(kVsockTxQueue));
  EXPECT_EQ(pair.client.Receive().size(), 60u);
  EXPECT_EQ(driver_->unsent(), 0u);
}

TEST_F(VsockDeviceTest, TheDriverHearsOfTakenPacketsByTheQuarterOfItsQueue) {
  Pair pair = Open();
  FakeQueue& tx = driver_->guest().queue(kVsockTxQueue);
  device_->Quiesce();
  tx.RequestInterrupt();
  const int before = tx.interrupts();
  for (int i = 0; i < 31; ++i) GuestWrites(pair.guest, "x");
  const int in_time = tx.interrupts();  // 0, unless the test was slower than the delay
  GuestWrites(pair.guest, "x");
  EXPECT_EQ(tx.interrupts(), before + 1);
  EXPECT_LE(in_time, before + 1);
}

TEST_F(VsockDeviceTest, TheDriverHearsOfASingleTakenPacketSoon) {
  Pair pair = Open();
  FakeQueue& tx = driver_->guest().queue(kVsockTxQueue);
  device_->Quiesce();
  tx.RequestInterrupt();
  const int before = tx.interrupts();
  GuestWrites(pair.guest, "x");
  TurnUntil([&] { return tx.interrupts() == before + 1; });
}

TEST_F(VsockDeviceTest, TheDriverHearsOfTakenPacketsBeforeASave) {
  Pair pair = Open();
  FakeQueue& tx = driver_->guest().queue(kVsockTxQueue);
  device_->Quiesce();
  tx.RequestInterrupt();
  const int before = tx.interrupts();
  GuestWrites(pair.guest, "x");
  device_->Quiesce();
  EXPECT_EQ(tx.interrupts(), before + 1);
}

TEST_F(VsockDeviceTest, BuffersOf64KibAreFilled) {
  MakeAttached({}, {.rx_payload_bytes = 64 << 10, .rx_buffers = 8});
  Pair pair = Open();
  ASSERT_EQ(pair.client.Send(std::string(150'000, 'x')), 150'000u);
  Turn();
  std::vector<size_t> sizes;
  for (const FakePacket& packet : driver_->Receive()) sizes.push_back(packet.payload.size());
  EXPECT_EQ(sizes.back(), 150'000 - std::accumulate(sizes.begin(), sizes.end() - 1, size_t{0}));
  EXPECT_LE(sizes.size(), 5u);
}

TEST_F(VsockDeviceTest, ALotOfDataArrivesWholeInBothDirections) {
  Pair pair = Open();
  std::string sent, got;
  size_t unsent = 0;
  for (int i = 0; i < 1'000'000; ++i) absl::StrAppend(&sent, i, ",");

  while (got.size() < sent.size()) {
    unsent += pair.client.Send(absl::string_view(sent).substr(unsent, 300'000));
    Turn();
    const std::string data = ReceivedData()[pair.guest.host_port];
    got += data;
    // The guest sends it back as it comes, in packets as large as its credit allows.
    pair.guest.forwarded += static_cast<uint32_t>(data.size());
    std::string echo;
    for (size_t at = 0; at < data.size(); at += 60'000) {
      GuestWrites(pair.guest, absl::string_view(data).substr(at, 60'000));
      driver_->Receive();  // credit updates
      echo += pair.client.Receive();
    }
    ASSERT_EQ(echo, data);
  }
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(Stats().vsock_tx_bytes(), sent.size());
  EXPECT_EQ(Stats().vsock_rx_bytes(), sent.size());
  EXPECT_EQ(Stats().vsock_connections(), 1u);
}

// --- Back-pressure ---

TEST_F(VsockDeviceTest, AGuestThatDoesNotReadOneConnectionGetsTheOthers) {
  MakeAttached({}, {.buf_alloc = 10'000});
  Pair slow = Open(), quick = Open();
  slow.client.Send(std::string(200'000, 's'));
  Turn();
  const std::vector<FakePacket> packets = driver_->Receive();
  EXPECT_EQ(packets.back().header.op, Op::kCreditRequest);

  quick.client.Send("quick");
  Turn();

  EXPECT_EQ(ReceivedData()[quick.guest.host_port], "quick");
  slow.guest.forwarded = 10'000;
  GuestSends(slow.guest, Op::kCreditUpdate);
  std::string more;
  for (const FakePacket& packet : driver_->Receive()) more += packet.payload;
  EXPECT_EQ(more, std::string(10'000, 's'));
}

TEST_F(VsockDeviceTest, AHostThatDoesNotReadOneConnectionGetsTheOthers) {
  Pair slow = Open(), quick = Open();
  const std::string written = UseUpCredit(slow.guest);

  GuestWrites(quick.guest, "quick");
  EXPECT_EQ(quick.client.Receive(), "quick");

  std::string all;
  while (all.size() < written.size()) {
    all += slow.client.Receive();
    Turn();
  }
  EXPECT_TRUE(all == written);
  EXPECT_THAT(ReceivedOps(), testing::Contains(Op::kCreditUpdate));
}

TEST_F(VsockDeviceTest, WithoutReceiveBuffersClientsWaitAndNoneIsForgotten) {
  MakeAttached({}, {.rx_buffers = 0});
  FakeClient first = Connect(1), second = Connect(2);
  EXPECT_THAT(driver_->Receive(), IsEmpty());
  driver_->AddRxBuffers(1);
  ASSERT_OK(driver_->Kick(kVsockRxQueue));
  const std::vector<FakePacket> packets = driver_->ReceiveAndHold();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.dst_port, 1u);
  driver_->AddRxBuffers(1);
  ASSERT_OK(driver_->Kick(kVsockRxQueue));
  EXPECT_EQ(driver_->ReceiveAndHold()[0].header.dst_port, 2u);
}

TEST_F(VsockDeviceTest, ConnectionsTakeTurnsWhenBuffersAreScarce) {
  MakeAttached({}, {.rx_buffers = 1});
  Pair first = Open(), second = Open();
  first.client.Send(std::string(40'000, '1'));
  second.client.Send(std::string(40'000, '2'));
  Turn();

  std::string order;
  while (order.size() < 8) {
    const std::vector<FakePacket> packets = driver_->ReceiveAndHold();
    for (const FakePacket& packet : packets) order += packet.payload[0];
    driver_->AddRxBuffers(packets.size());
    ASSERT_OK(driver_->Kick(kVsockRxQueue));
  }

  // Whichever got the first buffer alone: from then on they alternate.
  EXPECT_THAT(order.substr(1), testing::AnyOf("1212121", "2121212"));
}

// --- Half closes and ends, over real sockets ---

TEST_F(VsockDeviceTest, AHalfCloseOfTheClientLeavesTheOtherHalf) {
  Pair pair = Open();
  pair.client.Send("question");
  pair.client.EndOutput();
  Turn();
  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].payload, "question");
  EXPECT_EQ(packets[1].header.op, Op::kShutdown);
  EXPECT_EQ(packets[1].header.flags, kVsockShutdownSend);

  GuestWrites(pair.guest, "answer");
  GuestSends(pair.guest, Op::kShutdown, kVsockShutdownBoth);

  EXPECT_EQ(pair.client.Receive(), "answer");
  EXPECT_TRUE(pair.client.ended());
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
  EXPECT_EQ(Stats().vsock_connections(), 0u);
}

TEST_F(VsockDeviceTest, AHalfCloseOfTheGuestLeavesTheOtherHalf) {
  Pair pair = Open();
  GuestWrites(pair.guest, "done");
  GuestSends(pair.guest, Op::kShutdown, kVsockShutdownSend);
  EXPECT_EQ(pair.client.Receive(), "done");
  EXPECT_TRUE(pair.client.ended());

  pair.client.Send("not me");
  Turn();
  EXPECT_EQ(ReceivedData()[pair.guest.host_port], "not me");

  pair.client.Close();
  Turn();
  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.flags, kVsockShutdownBoth);
}

TEST_F(VsockDeviceTest, AClientThatReadsNoMoreMayStillSend) {
  Pair pair = Open();
  pair.client.EndInput();
  GuestWrites(pair.guest, "lost");
  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.flags, kVsockShutdownReceive);
  pair.client.Send("still here");
  Turn();
  EXPECT_EQ(ReceivedData()[pair.guest.host_port], "still here");
}

TEST_F(VsockDeviceTest, AClosedClientIsOneShutdownBehindItsLastBytes) {
  Pair pair = Open();
  pair.client.Send("last words");
  pair.client.Close();
  Turn();
  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].payload, "last words");
  EXPECT_EQ(packets[1].header.flags, kVsockShutdownBoth);

  GuestSends(pair.guest, Op::kReset);
  EXPECT_EQ(Stats().vsock_connections(), 0u);
}

TEST_F(VsockDeviceTest, AGuestThatIgnoresAShutdownIsReset) {
  MakeAttached({.shutdown_timeout = absl::Milliseconds(1)});
  Pair pair = Open();
  pair.client.Close();
  TurnUntil([&] { return Stats().vsock_connections() == 0; });
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kShutdown, Op::kReset));
}

TEST_F(VsockDeviceTest, AGuestThatNeverReadsWhatAGoneClientLeftIsReset) {
  MakeAttached({.linger_timeout = absl::Milliseconds(1)}, {.buf_alloc = 10});
  Pair pair = Open();
  pair.client.Send("more than ten bytes");
  pair.client.Close();
  TurnUntil([&] { return Stats().vsock_connections() == 0; });
  EXPECT_EQ(ReceivedOps().back(), Op::kReset);
}

TEST_F(VsockDeviceTest, AGuestThatExitsLosesNothingToASlowClient) {
  Pair pair = Open();
  const std::string output = UseUpCredit(pair.guest);
  GuestSends(pair.guest, Op::kShutdown, kVsockShutdownBoth);
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));  // the guest need not wait
  EXPECT_EQ(Stats().vsock_connections(), 1u);

  std::string got;
  while (!pair.client.ended()) {
    got += pair.client.Receive(10'000);
    Turn();
  }
  EXPECT_TRUE(got == output);
  EXPECT_EQ(Stats().vsock_connections(), 0u);
}

TEST_F(VsockDeviceTest, AClientThatNeverTakesTheRestIsClosed) {
  MakeAttached({.linger_timeout = absl::Milliseconds(1)});
  Pair pair = Open();
  UseUpCredit(pair.guest);
  GuestSends(pair.guest, Op::kShutdown, kVsockShutdownBoth);
  TurnUntil([&] { return Stats().vsock_connections() == 0; });
}

// --- Many ---

TEST_F(VsockDeviceTest, AThousandConnectionsWorkAtATime) {
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < 1000; ++i) pairs.push_back(Open(i));
  EXPECT_EQ(Stats().vsock_connections(), 1000u);

  for (Pair& pair : pairs) pair.client.Send(absl::StrCat("to ", pair.guest.guest_port));
  std::map<uint32_t, std::string> data;
  while (data.size() < pairs.size()) {
    Turn();
    for (auto& [port, bytes] : ReceivedData()) data[port] += bytes;
  }
  for (Pair& pair : pairs) {
    ASSERT_EQ(data[pair.guest.host_port], absl::StrCat("to ", pair.guest.guest_port));
    GuestWrites(pair.guest, absl::StrCat("from ", pair.guest.guest_port));
    ASSERT_EQ(pair.client.Receive(), absl::StrCat("from ", pair.guest.guest_port));
  }
  for (Pair& pair : pairs) pair.client.Close();
  size_t shutdowns = 0;
  while (shutdowns < pairs.size()) {
    Turn();
    for (const FakePacket& packet : driver_->Receive()) {
      ASSERT_EQ(packet.header.op, Op::kShutdown);
      GuestSends({packet.header.dst_port, packet.header.src_port}, Op::kReset);
      ++shutdowns;
    }
  }
  EXPECT_EQ(Stats().vsock_connections(), 0u);
}

}  // namespace
}  // namespace msb
