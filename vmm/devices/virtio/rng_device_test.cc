// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/rng_device.h"

#include <memory>
#include <string>

#include "base/check.h"
#include "base/event_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using virtio::UsedElement;

class RngDeviceTest : public testing::Test {
 protected:
  RngDeviceTest() { MSB_CHECK(rng_.Activate(0, guest_.virtqueues()).ok()); }

  // One turn of the loop.
  void Turn() {
    loop_->Post([this] { loop_->Stop(); });
    MSB_CHECK(loop_->Run().ok());
  }

  FakeGuest guest_{{.queue_sizes = {256}}};
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  RngDevice rng_{*loop_};
};

TEST_F(RngDeviceTest, FillsTheBufferAndSaysHowMuch) {
  const GuestRange first = guest_.queue().AddWritable(64);
  const GuestRange second = guest_.queue().AddWritable(64);

  ASSERT_OK(rng_.OnNotify(0));

  EXPECT_THAT(guest_.queue().Used(),
              ElementsAre(UsedElement{.id = 0, .length = 64}, UsedElement{.id = 1, .length = 64}));
  EXPECT_NE(guest_.Read(first), std::string(64, '\0'));
  EXPECT_NE(guest_.Read(first), guest_.Read(second));
  EXPECT_EQ(guest_.queue().interrupts(), 1);
}

TEST_F(RngDeviceTest, GivesALongRequestWhatItMayHave) {
  const FakeChain chain = guest_.queue().AddChain({guest_.Writable(4000), guest_.Writable(4000)});
  ASSERT_OK(rng_.OnNotify(0));
  EXPECT_THAT(guest_.queue().Used(), ElementsAre(UsedElement{.id = 0, .length = 4096}));
  EXPECT_EQ(guest_.Read(chain.buffers[1]).substr(96), std::string(4000 - 96, '\0'));
}

TEST_F(RngDeviceTest, RefusesAReadableBuffer) {
  guest_.queue().AddReadable("seed");
  EXPECT_THAT(rng_.OnNotify(0), HasReason(Reason::kGuestViolation));
}

TEST_F(RngDeviceTest, ServesNothingOnceReset) {
  rng_.Reset();
  guest_.queue().AddWritable(64);
  ASSERT_OK(rng_.OnNotify(0));
  EXPECT_THAT(guest_.queue().Used(), SizeIs(0));
}

TEST_F(RngDeviceTest, LooksAfterOthersBeforeItGoesOnWithALongRow) {
  for (int i = 0; i < RngDevice::kMaxRequestsPerTurn + 1; ++i) guest_.queue().AddWritable(8);

  ASSERT_OK(rng_.OnNotify(0));

  EXPECT_THAT(guest_.queue().Used(), SizeIs(RngDevice::kMaxRequestsPerTurn));
  Turn();
  EXPECT_THAT(guest_.queue().Used(), SizeIs(1));
}

TEST_F(RngDeviceTest, DoesNotGoOnBehindAReset) {
  for (int i = 0; i < RngDevice::kMaxRequestsPerTurn + 1; ++i) guest_.queue().AddWritable(8);
  ASSERT_OK(rng_.OnNotify(0));
  rng_.Reset();
  EXPECT_THAT(guest_.queue().Used(), SizeIs(RngDevice::kMaxRequestsPerTurn));
  Turn();
  EXPECT_THAT(guest_.queue().Used(), SizeIs(0));
}

TEST_F(RngDeviceTest, TellsOfAViolationThatItFindsWhenItGoesOn) {
  struct Transport final : ConfigChangeNotifier {
    void OnConfigChanged() override {}
    void OnGuestViolation(const absl::Status& why) override { seen = why; }
    absl::Status seen;
  } transport;
  rng_.set_notifier(&transport);
  for (int i = 0; i < RngDevice::kMaxRequestsPerTurn; ++i) guest_.queue().AddWritable(8);
  guest_.queue().AddReadable("seed");
  ASSERT_OK(rng_.OnNotify(0));
  Turn();
  EXPECT_THAT(transport.seen, HasReason(Reason::kGuestViolation));
}

TEST_F(RngDeviceTest, IsIdleWhenTheDriverEnabledNoQueue) {
  RngDevice other(*loop_);
  Virtqueue* const none[] = {nullptr};
  ASSERT_OK(other.Activate(0, none));
  EXPECT_OK(other.OnNotify(0));
}

TEST_F(RngDeviceTest, RestoresOnlyItsOwnState) {
  EXPECT_OK(rng_.Restore(rng_.Save()));
  msb::vmm::v1::DeviceState other;
  EXPECT_THAT(rng_.Restore(other), HasReason(Reason::kStateInvalid));
  other.mutable_balloon();
  EXPECT_THAT(rng_.Restore(other), HasReason(Reason::kStateInvalid));
}

}  // namespace
}  // namespace msb
