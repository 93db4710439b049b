// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_device.h"
#include "tests/support/vmm/fake_guest.h"
#include "tests/support/vmm/loop_thread.h"
#include "tests/support/vmm/mmio_driver.h"
#include "vmm/devices/virtio/mmio_transport.h"

namespace msb {
namespace {

using msb::vmm::v1::VirtioTransportState;
using testing::SizeIs;
using Register = virtio::MmioRegister;

// A machine's device and the one that it is restored into, over the same memory.
class MmioTransportStateTest : public testing::Test {
 protected:
  struct Machine {
    FakeDevice device;
    std::unique_ptr<MmioTransport> transport;
  };
  MmioTransportStateTest() {
    loop_.Run([this] {
      for (Machine* machine : {&saved_, &restored_}) {
        auto transport = MmioTransport::Create(loop_.loop(), guest_.memory(), machine->device);
        MSB_CHECK(transport.ok());
        machine->transport = *std::move(transport);
      }
    });
  }
  ~MmioTransportStateTest() override {
    loop_.Run([this] {
      saved_.transport.reset();
      restored_.transport.reset();
    });
  }
  absl::StatusOr<VirtioTransportState> Save() {
    absl::StatusOr<VirtioTransportState> state;
    loop_.Run([&] { state = saved_.transport->Save(); });
    return state;
  }
  absl::Status Restore(const VirtioTransportState& state) {
    absl::Status status;
    loop_.Run([&] { status = restored_.transport->Restore(state); });
    loop_.Settle();  // the kicks that Restore makes
    return status;
  }
  VirtioTransportState SaveStarted() {
    MmioDriver(*saved_.transport).Start(guest_, 2);
    auto state = Save();
    MSB_CHECK(state.ok());
    return *std::move(state);
  }

  FakeGuest guest_{{.queue_sizes = {8, 4}}};
  LoopThread loop_;
  Machine saved_;
  Machine restored_;
};

TEST_F(MmioTransportStateTest, GoesOnWhereTheSavedOneStopped) {
  const MmioDriver before(*saved_.transport);
  const MmioDriver after(*restored_.transport);
  before.Start(guest_, 2);
  for (int i = 0; i < 5; ++i) {
    guest_.queue(0).AddWritable(1);
    before.Notify(0);
    loop_.Settle();
    ASSERT_THAT(guest_.queue(0).Used(), SizeIs(1));
  }
  before.Write(Register::kQueueSelect, 1);
  ASSERT_OK_AND_ASSIGN(const VirtioTransportState state, Save());
  guest_.queue(0).AddWritable(1);  // its kick is lost with the saved machine

  ASSERT_OK(Restore(state));

  EXPECT_EQ(after.status(), before.status());
  EXPECT_EQ(after.Read(Register::kQueueSizeMax), 4u);  // still the selected queue
  EXPECT_EQ(after.Read(Register::kInterruptStatus), virtio::kInterruptUsedBuffer);
  EXPECT_GE(after.TakeInterrupts(), 1u);
  EXPECT_EQ(restored_.device.driver_features(), MmioDriver::kDefaultFeatures);
  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(1));
  guest_.queue(0).AddWritable(1);
  after.Notify(0);
  loop_.Settle();
  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(1));
}

TEST_F(MmioTransportStateTest, RestoresADeviceThatNoDriverHasTouched) {
  ASSERT_OK_AND_ASSIGN(const VirtioTransportState state, Save());
  ASSERT_OK(Restore(state));
  const MmioDriver driver(*restored_.transport);
  driver.Start(guest_, 2);
  EXPECT_TRUE(restored_.device.active());
}

TEST_F(MmioTransportStateTest, RestoresADeviceInTheMiddleOfItsSetUp) {
  const MmioDriver before(*saved_.transport);
  before.Negotiate();
  before.SetUpQueue(0, guest_.queue(0).layout());
  ASSERT_OK_AND_ASSIGN(const VirtioTransportState state, Save());
  ASSERT_OK(Restore(state));
  MmioDriver(*restored_.transport).AddStatus(virtio::kStatusDriverOk);
  EXPECT_EQ(restored_.device.queues()[0]->layout(), guest_.queue(0).layout());
}

TEST_F(MmioTransportStateTest, RestoresABrokenDeviceAsBroken) {
  const MmioDriver before(*saved_.transport);
  before.Start(guest_, 2);
  guest_.queue(0).MakeAvailable(999);
  before.Notify(0);
  loop_.Settle();
  ASSERT_OK_AND_ASSIGN(const VirtioTransportState state, Save());
  ASSERT_OK(Restore(state));
  const MmioDriver after(*restored_.transport);
  EXPECT_NE(after.status() & virtio::kStatusNeedsReset, 0u);
  EXPECT_FALSE(restored_.device.active());
  after.Start(guest_, 2);
  EXPECT_TRUE(restored_.device.active());
}

TEST_F(MmioTransportStateTest, DoesNotSaveADeviceThatHoldsAChain) {
  const MmioDriver before(*saved_.transport);
  saved_.device.set_hold_chains(true);
  before.Start(guest_, 2);
  guest_.queue(0).AddWritable(1);
  before.Notify(0);
  loop_.Settle();
  EXPECT_THAT(Save(), HasReason(Reason::kInternalBug));
}

TEST_F(MmioTransportStateTest, RefusesWhatSaveCannotHaveWritten) {
  const VirtioTransportState good = SaveStarted();
  const std::vector<std::function<void(VirtioTransportState&)>> changes = {
      [](auto& state) { state.set_status(0x1000f); },
      [](auto& state) { state.set_status(0x10); },
      [](auto& state) { state.set_status(virtio::kStatusDriverOk); },
      [](auto& state) { state.set_status(state.status() & ~virtio::kStatusDriver); },
      [](auto& state) {
        state.set_status(state.status() | virtio::kStatusNeedsReset);
        state.mutable_queues(0)->set_next_available(5);
        state.mutable_queues(0)->set_next_used(5);
      },
      [](auto& state) { state.set_driver_features(~uint64_t{0}); },
      [](auto& state) { state.set_driver_features(0); },
      [](auto& state) { state.set_driver_features(virtio::kFeatureVersion1); },  // no event index
      [](auto& state) { state.set_interrupt_status(4); },
      [](auto& state) { state.mutable_queues()->RemoveLast(); },
      [](auto& state) { *state.add_queues() = state.queues(0); },
      [](auto& state) { state.mutable_queues(0)->set_size(16); },
      [](auto& state) { state.mutable_queues(0)->set_size(3); },
      [](auto& state) { state.mutable_queues(0)->set_size(0x10008); },
      [](auto& state) { state.mutable_queues(0)->set_descriptor_table(1); },
      [](auto& state) { state.mutable_queues(0)->set_driver_area(~uint64_t{1}); },
      [](auto& state) { state.mutable_queues(0)->set_device_area(0); },
      [](auto& state) { state.mutable_queues(0)->set_next_available(1); },
      [](auto& state) { state.mutable_queues(0)->set_next_used(1); },
      [](auto& state) {
        state.mutable_queues(0)->set_next_available(0x10000);
        state.mutable_queues(0)->set_next_used(0x10000);
      },
      [](auto& state) { state.mutable_queues(0)->set_event_index(false); },
      [](auto& state) { state.mutable_device()->mutable_block(); },
      [](auto& state) { state.clear_device(); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    VirtioTransportState bad = good;
    changes[i](bad);
    EXPECT_THAT(Restore(bad), HasReason(Reason::kStateInvalid)) << "change " << i;
    EXPECT_FALSE(restored_.device.active()) << "change " << i;
  }
  EXPECT_OK(Restore(good));
  EXPECT_THAT(Restore(good), HasReason(Reason::kStateInvalid));  // in use by now
}

}  // namespace
}  // namespace msb
