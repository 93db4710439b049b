// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/net/net_device.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/event_loop.h"
#include "base/unix_socket.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vmm/fake_guest.h"
#include "tests/support/vmm/loop_thread.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using virtio::NetHeader;
using virtio::UsedElement;

constexpr NetDevice::Mac kMac = {2, 0, 0, 0, 0, 1};

struct Notifier final : ConfigChangeNotifier {
  void OnConfigChanged() override { ++changes; }
  void OnGuestViolation(const absl::Status&) override { ++violations; }
  int changes = 0;
  int violations = 0;
};

std::string Length(size_t bytes) {
  return std::string{'\0', static_cast<char>(bytes >> 16), static_cast<char>(bytes >> 8),
                     static_cast<char>(bytes)};
}

class NetDeviceTest : public testing::Test {
 protected:
  NetDeviceTest() {
    loop_.Run([&] {
      device_ = std::make_unique<NetDevice>(loop_.loop(), kMac, 65520);
      device_->set_notifier(&notifier_);
      auto listener = ListenUnix(directory_.path() + "/net.sock");
      MSB_CHECK(listener.ok());
      MSB_CHECK(::fcntl(listener->get(), F_SETFL, O_NONBLOCK) == 0);
      MSB_CHECK(device_->Listen(*std::move(listener)).ok());
      MSB_CHECK(device_->Activate(virtio::kNetFeatureMergeableBuffers, guest_.virtqueues()).ok());
    });
  }
  ~NetDeviceTest() override {
    loop_.Run([&] { device_.reset(); });
  }

  void Connect() {
    auto peer = ConnectUnix(directory_.path() + "/net.sock", Blocking::kYes);
    MSB_CHECK(peer.ok());
    peer_ = *std::move(peer);
    loop_.Settle();
    loop_.Settle();
  }
  absl::Status Notify(uint16_t queue) {
    absl::Status status;
    loop_.Run([&] { status = device_->OnNotify(queue); });
    return status;
  }
  void Write(const std::string& bytes) {
    MSB_CHECK(::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
    loop_.Settle();
    loop_.Settle();
  }
  std::string Read(size_t bytes) {
    std::string all(bytes, '\0');
    const ssize_t got = ::recv(peer_.get(), all.data(), bytes, MSG_WAITALL);
    all.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return all;
  }
  void AddFrame(const std::string& frame) {
    guest_.queue(1).AddChain(
        {guest_.Readable(std::string(sizeof(NetHeader), '\0')), guest_.Readable(frame)});
  }

  TempDir directory_;
  LoopThread loop_;
  FakeGuest guest_{{.queue_sizes = {16, 128}, .memory_bytes = 16 << 20}};
  Notifier notifier_;
  std::unique_ptr<NetDevice> device_;
  UniqueFd peer_;
};

TEST_F(NetDeviceTest, TellsTheDriverOfALinkThatComesAndGoes) {
  EXPECT_EQ(device_->config()[6], 0);
  Connect();
  EXPECT_EQ(device_->config()[6], virtio::kNetStatusLinkUp);
  EXPECT_EQ(notifier_.changes, 1);

  peer_.Reset();
  loop_.Settle();
  loop_.Settle();

  EXPECT_EQ(device_->config()[6], 0);
  EXPECT_EQ(notifier_.changes, 2);
}

TEST_F(NetDeviceTest, SendsTheGuestsFramesBehindTheirLength) {
  Connect();
  AddFrame(std::string(60, 'a'));
  AddFrame(std::string(1000, 'b'));
  ASSERT_OK(Notify(1));

  EXPECT_EQ(Read(4 + 60 + 4 + 1000),
            Length(60) + std::string(60, 'a') + Length(1000) + std::string(1000, 'b'));
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(2));
}

TEST_F(NetDeviceTest, SwallowsFramesWhileTheLinkIsDown) {
  AddFrame(std::string(60, 'a'));
  ASSERT_OK(Notify(1));
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
  msb::vmm::v1::Stats stats;
  device_->FillStats(stats);
  EXPECT_EQ(stats.net().dropped_frames(), 1u);
}

TEST_F(NetDeviceTest, SpreadsAFrameOverMergeableBuffersAtOnce) {
  Connect();
  const GuestRange first = guest_.queue(0).AddWritable(100);
  const GuestRange second = guest_.queue(0).AddWritable(100);
  std::string frame(150, 'x');
  frame[149] = 'z';
  Write(Length(frame.size()) + frame);

  EXPECT_THAT(guest_.queue(0).Used(),
              ElementsAre(UsedElement{.id = 0, .length = 100}, UsedElement{.id = 1, .length = 62}));
  const std::string header = guest_.Read(first).substr(0, sizeof(NetHeader));
  EXPECT_EQ(header[0], virtio::kNetHeaderDataValid);
  EXPECT_EQ(header[10], 2);  // buffers
  EXPECT_EQ(guest_.Read(first).substr(12) + guest_.Read(second).substr(0, 62), frame);
}

TEST_F(NetDeviceTest, KeepsAFrameUntilTheDriverHasBuffers) {
  Connect();
  guest_.queue(0).AddWritable(100);
  Write(Length(150) + std::string(150, 'x'));
  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(0));

  guest_.queue(0).AddWritable(100);
  ASSERT_OK(Notify(0));

  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(2));
}

TEST_F(NetDeviceTest, DropsAFrameThatAllBuffersTogetherCannotHold) {
  Connect();
  for (int i = 0; i < 16; ++i) guest_.queue(0).AddWritable(16);
  Write(Length(1000) + std::string(1000, 'x') + Length(14) + std::string(14, 'y'));
  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(2));  // of the second frame
}

TEST_F(NetDeviceTest, HoldsTheGuestUpWhenTheWireIsFullAndGoesOnLater) {
  Connect();
  std::string expected;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 4; ++i) {
      const std::string frame(60000, static_cast<char>('a' + round));
      AddFrame(frame);
      expected += Length(frame.size()) + frame;
    }
    if (guest_.free_bytes() < 500000) break;
    ASSERT_OK(Notify(1));
    if (guest_.queue(1).Used().size() < 4) break;
  }
  EXPECT_EQ(Read(expected.size()), expected);
  loop_.Settle();
}

TEST_F(NetDeviceTest, FinishesAFrameThatHasBegunWhenTheDriverResets) {
  Connect();
  // More than the socket takes: one of them goes in part.
  for (int i = 0; i < 60; ++i) AddFrame(std::string(60000, 'a'));
  ASSERT_OK(Notify(1));
  ASSERT_LT(guest_.queue(1).Used().size(), 60u);

  loop_.Run([&] { device_->Reset(); });
  std::string wire = Read(4 + 60000);
  loop_.Run([&] { ASSERT_OK(device_->OnNotify(1)); });
  loop_.Settle();
  loop_.Run([&] { device_.reset(); });  // the end of the stream
  wire += Read(60 * 60004);

  ASSERT_EQ(wire.size() % 60004, 0u);
  for (size_t at = 0; at < wire.size(); at += 60004) {
    EXPECT_EQ(wire.substr(at, 60004), Length(60000) + std::string(60000, 'a'));
  }
}

TEST_F(NetDeviceTest, DropsALinkThatAnnouncesAnImpossibleFrame) {
  Connect();
  guest_.queue(0).AddWritable(100);
  Write(Length(1 << 20));
  EXPECT_EQ(device_->config()[6], 0);
}

TEST_F(NetDeviceTest, RefusesAReceiveBufferWithoutRoomForItsHeader) {
  Connect();
  guest_.queue(0).AddWritable(8);
  Write(Length(14) + std::string(14, 'x'));
  EXPECT_EQ(notifier_.violations, 1);
  EXPECT_THAT(Notify(0), HasReason(Reason::kGuestViolation));
}

TEST_F(NetDeviceTest, RestoresOnlyItsOwnState) {
  loop_.Run([&] {
    EXPECT_OK(device_->Restore(device_->Save()));
    msb::vmm::v1::DeviceState other;
    other.mutable_rng();
    EXPECT_THAT(device_->Restore(other), HasReason(Reason::kStateInvalid));
    other.mutable_net()->set_mac("123456");
    other.mutable_net()->set_mtu(65521);
    EXPECT_THAT(device_->Restore(other), HasReason(Reason::kStateInvalid));
  });
}

}  // namespace
}  // namespace msb
