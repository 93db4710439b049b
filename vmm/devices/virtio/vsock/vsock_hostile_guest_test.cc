// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "vmm/devices/virtio/vsock/socket_stream.h"
#include "vmm/devices/virtio/vsock/vsock_fixture.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using virtio::kVsockRxQueue;
using virtio::kVsockTxQueue;
using virtio::VsockHeader;

class HostileGuestTest : public VsockFixture {
 protected:
  void SetUp() override {
    VsockFixture::SetUp();
    Attach();
  }
};

TEST_F(HostileGuestTest, PacketsToPortsThatNobodyServesAreReset) {
  for (const Op op : {Op::kInvalid, Op::kRequest, Op::kResponse, Op::kShutdown, Op::kReadWrite,
                      Op::kCreditUpdate, Op::kCreditRequest, static_cast<Op>(9)}) {
    ASSERT_OK(driver_->Send(driver_->Header(op, 5, 6)));
    const std::vector<FakePacket> packets = driver_->Receive();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].header.op, Op::kReset);
    EXPECT_EQ(packets[0].header.src_port, 6u);
    EXPECT_EQ(packets[0].header.dst_port, 5u);
  }
}

TEST_F(HostileGuestTest, AResetIsNeverAnswered) {
  for (int i = 0; i < 100; ++i) ASSERT_OK(driver_->Send(driver_->Header(Op::kReset, 5, 6)));
  EXPECT_THAT(driver_->Receive(), IsEmpty());
}

TEST_F(HostileGuestTest, AnotherContextIdIsAnsweredAsIfFromThere) {
  VsockHeader header = driver_->Header(Op::kRequest, 5, 6);
  header.dst_cid = 99;
  ASSERT_OK(driver_->Send(header));
  const std::vector<FakePacket> packets = driver_->Receive();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.op, Op::kReset);
  EXPECT_EQ(packets[0].header.src_cid, 99u);
  EXPECT_EQ(packets[0].header.dst_cid, kGuestCid);
}

TEST_F(HostileGuestTest, AForgedSourceReachesNoConnection) {
  Pair pair = Open();
  VsockHeader header = Header(pair.guest, Op::kReadWrite);
  header.src_cid = 4;
  ASSERT_OK(driver_->Send(header, "forged"));
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
  EXPECT_EQ(pair.client.Receive(), "");
}

TEST_F(HostileGuestTest, AnUnknownTypeIsReset) {
  Pair pair = Open();
  VsockHeader header = Header(pair.guest, Op::kReadWrite);
  header.type = virtio::VsockType::kSeqPacket;
  ASSERT_OK(driver_->Send(header, "record"));
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
  GuestWrites(pair.guest, "stream");
  EXPECT_EQ(pair.client.Receive(), "stream");
}

TEST_F(HostileGuestTest, ARequestForAConnectionThatExistsEndsItAlone) {
  Pair pair = Open(), other = Open();
  GuestSends(pair.guest, Op::kRequest);
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
  pair.client.Receive();
  EXPECT_TRUE(pair.client.ended());
  GuestWrites(other.guest, "unharmed");
  EXPECT_EQ(other.client.Receive(), "unharmed");
}

TEST_F(HostileGuestTest, MoreDataThanItsCreditIsAReset) {
  MakeAttached({.window_bytes = 1000});
  Pair pair = Open();
  GuestWrites(pair.guest, std::string(1001, 'x'));
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
}

TEST_F(HostileGuestTest, ALengthBeyondTheChainBreaksTheDevice) {
  Pair pair = Open();
  VsockHeader header = Header(pair.guest, Op::kReadWrite);
  header.length = 100;
  driver_->Queue(header, "short");
  EXPECT_THAT(driver_->Kick(kVsockTxQueue), HasReason(Reason::kGuestViolation));

  // Broken until the driver resets it; then as new.
  EXPECT_THAT(device_->OnNotify(kVsockTxQueue), HasReason(Reason::kGuestViolation));
  pair.client.Receive();
  EXPECT_TRUE(pair.client.ended());
  device_->Reset();
  driver_ = std::make_unique<FakeVsockDriver>();
  Attach();
  Pair again = Open();
  GuestWrites(again.guest, "works");
  EXPECT_EQ(again.client.Receive(), "works");
}

TEST_F(HostileGuestTest, AChainShorterThanAHeaderBreaksTheDevice) {
  driver_->guest().queue(kVsockTxQueue).AddReadable("short");
  EXPECT_THAT(driver_->Kick(kVsockTxQueue), HasReason(Reason::kGuestViolation));
}

TEST_F(HostileGuestTest, AReceiveBufferWithoutRoomBreaksTheDeviceWhenItIsNeeded) {
  MakeAttached({}, {.rx_buffers = 0});
  struct Transport final : ConfigChangeNotifier {
    void OnConfigChanged() override {}
    void OnGuestViolation(const absl::Status& why) override { violation = why; }
    absl::Status violation;
  } transport;
  device_->set_notifier(&transport);
  driver_->guest().queue(kVsockRxQueue).AddWritable(20);
  FakeClient client = Connect();
  client.Receive();
  EXPECT_TRUE(client.ended());
  EXPECT_THAT(transport.violation, HasReason(Reason::kGuestViolation));
  EXPECT_THAT(device_->OnNotify(kVsockRxQueue), HasReason(Reason::kGuestViolation));
}

TEST_F(HostileGuestTest, ADescriptorOutsideItsMemoryBreaksTheDevice) {
  FakeQueue& tx = driver_->guest().queue(kVsockTxQueue);
  tx.SetDescriptor(7, {.address = uint64_t{1} << 60, .length = 100, .flags = 0, .next = 0});
  tx.MakeAvailable(7);
  EXPECT_THAT(device_->OnNotify(kVsockTxQueue), HasReason(Reason::kGuestViolation));
}

TEST_F(HostileGuestTest, AFloodWithoutReceiveBuffersIsLeftInTheQueue) {
  MakeAttached({}, {.rx_buffers = 0});
  // Each costs an answer, and there is no buffer for one.
  size_t taken = 0;
  for (int round = 0; round < 20; ++round) {
    const size_t before = driver_->unsent();
    if (before > 0) break;
    for (int i = 0; i < 32; ++i) driver_->Queue(driver_->Header(Op::kRequest, 5, 6));
    ASSERT_OK(driver_->Kick(kVsockTxQueue));
    taken += 32 - driver_->unsent();
  }
  EXPECT_GT(driver_->unsent(), 0u);
  EXPECT_LT(taken, 400u);

  // With buffers for the answers it goes on by itself: no kick of the packets' queue, no other
  // buffer.
  driver_->AddRxBuffers(64);
  ASSERT_OK(driver_->Kick(kVsockRxQueue));
  Turn();
  EXPECT_EQ(driver_->unsent(), 0u);
  EXPECT_EQ(driver_->ReceiveAndHold().size(), 64u);
}

TEST_F(HostileGuestTest, AGuestWithEndlessPacketsLeavesTheLoopToOthers) {
  // Sends again, from within the device's turn, for every packet that was taken.
  class Echo final : public HostService {
   public:
    explicit Echo(FakeVsockDriver& driver) : driver_(driver) {}
    std::unique_ptr<HostStream> Accept(uint32_t) override {
      driver_.Queue(driver_.Header(Op::kRequest, 5, 99));
      return nullptr;
    }

   private:
    FakeVsockDriver& driver_;
  };
  Make({}, {.rx_buffers = 0});
  Echo echo(*driver_);
  device_->RegisterHostService(99, echo);
  Attach();
  ASSERT_OK(driver_->Send(driver_->Header(Op::kRequest, 5, 99)));
  Turn();  // ends
  EXPECT_EQ(Stats().vsock_connections(), 0u);
}

TEST_F(HostileGuestTest, ConnectionsToAServiceBeyondTheLimitAreReset) {
  class Sink final : public HostService {
   public:
    std::unique_ptr<HostStream> Accept(uint32_t) override {
      int fds[2];
      MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
      far_.emplace_back(fds[1]);
      return std::make_unique<SocketStream>(*loop, UniqueFd(fds[0]));
    }
    EventLoop* loop = nullptr;

   private:
    std::vector<UniqueFd> far_;
  };
  Make({.max_connections = 3});
  Sink sink;
  sink.loop = loop_.get();
  device_->RegisterHostService(99, sink);
  Attach();
  for (uint32_t port = 0; port < 5; ++port) {
    ASSERT_OK(driver_->Send(driver_->Header(Op::kRequest, port, 99)));
  }
  const std::vector<Op> ops = ReceivedOps();
  EXPECT_EQ(std::count(ops.begin(), ops.end(), Op::kResponse), 3);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), Op::kReset), 2);
  device_.reset();
}

}  // namespace
}  // namespace msb
