// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/mmio_transport.h"

#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_device.h"
#include "tests/support/vmm/fake_guest.h"
#include "tests/support/vmm/loop_thread.h"
#include "tests/support/vmm/mmio_driver.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using virtio::UsedElement;
using Register = virtio::MmioRegister;

class MmioTransportTest : public testing::Test {
 protected:
  MmioTransportTest() : driver_(*transport_) {}
  ~MmioTransportTest() override {
    loop_.Run([this] { transport_.reset(); });
  }

  std::unique_ptr<MmioTransport> MakeTransport(FakeDevice& device) {
    std::unique_ptr<MmioTransport> made;
    loop_.Run([&] {
      auto transport = MmioTransport::Create(loop_.loop(), guest_.memory(), device);
      MSB_CHECK(transport.ok());
      made = *std::move(transport);
    });
    return made;
  }
  void Start() { driver_.Start(guest_, 2); }
  bool NeedsReset() const { return (driver_.status() & virtio::kStatusNeedsReset) != 0; }

  FakeGuest guest_{{.queue_sizes = {8, 4}}};
  FakeDevice device_;
  LoopThread loop_;
  std::unique_ptr<MmioTransport> transport_ = MakeTransport(device_);
  MmioDriver driver_;
};

TEST_F(MmioTransportTest, IntroducesItself) {
  EXPECT_EQ(driver_.Read(Register::kMagic), 0x74726976u);
  EXPECT_EQ(driver_.Read(Register::kVersion), 2u);
  EXPECT_EQ(driver_.Read(Register::kDeviceId), static_cast<uint32_t>(DeviceId::kRng));
  EXPECT_EQ(driver_.status(), 0u);
  EXPECT_EQ(driver_.Read(Register::kSharedMemoryLengthLow), ~0u);
  EXPECT_EQ(driver_.Read(Register::kSharedMemoryLengthHigh), ~0u);
}

TEST_F(MmioTransportTest, OffersTheDevicesFeaturesAndItsOwn) {
  EXPECT_EQ(driver_.OfferedFeatures(), FakeDevice::kFeature | virtio::kFeatureVersion1 |
                                           virtio::kFeatureEventIndex |
                                           virtio::kFeatureIndirectDescriptors);
  driver_.Write(Register::kDeviceFeaturesSelect, 2);
  EXPECT_EQ(driver_.Read(Register::kDeviceFeatures), 0u);
}

TEST_F(MmioTransportTest, SaysWhichQueuesThereAre) {
  const auto size_max = [this](uint32_t queue) {
    driver_.Write(Register::kQueueSelect, queue);
    return driver_.Read(Register::kQueueSizeMax);
  };
  EXPECT_EQ(size_max(0), 8u);
  EXPECT_EQ(size_max(1), 4u);
  EXPECT_EQ(size_max(2), 0u);
  EXPECT_EQ(size_max(~0u), 0u);
}

TEST_F(MmioTransportTest, ActivatesTheDeviceAtDriverOk) {
  driver_.Negotiate(MmioDriver::kDefaultFeatures | FakeDevice::kFeature);
  driver_.SetUpQueue(1, guest_.queue(1).layout());
  EXPECT_EQ(device_.activations(), 0);

  driver_.AddStatus(virtio::kStatusDriverOk);

  EXPECT_EQ(driver_.status(), 0x0fu);
  EXPECT_EQ(device_.activations(), 1);
  EXPECT_EQ(device_.driver_features(), MmioDriver::kDefaultFeatures | FakeDevice::kFeature);
  EXPECT_EQ(device_.queues()[0], nullptr);  // never set up
  EXPECT_EQ(device_.queues()[1]->layout(), guest_.queue(1).layout());
}

TEST_F(MmioTransportTest, RefusesFeaturesThatItDoesNotOffer) {
  EXPECT_FALSE(driver_.Negotiate(MmioDriver::kDefaultFeatures | 2));
  driver_.Reset();
  EXPECT_FALSE(driver_.Negotiate(0));  // no VERSION_1
  driver_.Reset();
  EXPECT_TRUE(driver_.Negotiate());
}

TEST_F(MmioTransportTest, KeepsFeaturesOnceTheyAreSettled) {
  driver_.Negotiate();
  driver_.Write(Register::kDriverFeaturesSelect, 0);
  driver_.Write(Register::kDriverFeatures, ~0u);
  driver_.AddStatus(virtio::kStatusDriverOk);
  EXPECT_EQ(device_.driver_features(), MmioDriver::kDefaultFeatures);
}

TEST_F(MmioTransportTest, TakesNoDriverOkWithoutFeaturesOk) {
  driver_.Write(Register::kStatus, virtio::kStatusDriver | virtio::kStatusDriverOk);
  EXPECT_EQ(device_.activations(), 0);
  EXPECT_EQ(driver_.status(), virtio::kStatusDriver);
}

TEST_F(MmioTransportTest, IgnoresAStatusThatTakesBitsBack) {
  Start();
  driver_.Write(Register::kStatus, virtio::kStatusAcknowledge);
  EXPECT_EQ(driver_.status(), 0x0fu);
}

TEST_F(MmioTransportTest, ServesKicksByRegisterAndByEvent) {
  Start();
  const FakeChain chain = guest_.queue(1).AddChain({guest_.Readable("ping"), guest_.Writable(8)});
  driver_.Notify(1);
  loop_.Settle();
  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre(UsedElement{.id = 0, .length = 4}));
  EXPECT_EQ(guest_.Read(chain.buffers[1]).substr(0, 4), "ping");
  EXPECT_EQ(driver_.TakeInterrupts(), 1u);

  guest_.queue(1).AddChain({guest_.Readable("pong"), guest_.Writable(8)});
  guest_.queue(1).RequestInterrupt();
  driver_.NotifyByEvent(1);
  loop_.Settle();
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
  EXPECT_EQ(driver_.TakeInterrupts(), 1u);
}

TEST_F(MmioTransportTest, LeavesKicksToADeviceThatWatchesThem) {
  FakeDevice device;
  device.set_watches_kicks(true);
  std::unique_ptr<MmioTransport> transport = MakeTransport(device);
  MmioDriver driver(*transport);
  driver.Start(guest_, 2);
  const Virtqueue::Events events = device.queues()[1]->events();

  driver.Notify(1);
  loop_.Settle();
  EXPECT_EQ(device.notifications(), 0);
  uint64_t count = 0;
  EXPECT_EQ(::read(events.kick, &count, sizeof(count)), ssize_t{sizeof(count)});

  // Whoever serves the queue interrupts.
  EXPECT_EQ(driver.TakeInterrupts(), 0u);
  count = 1;
  ASSERT_EQ(::write(events.call, &count, sizeof(count)), ssize_t{sizeof(count)});
  loop_.Settle();
  EXPECT_EQ(driver.TakeInterrupts(), 1u);
  EXPECT_EQ(driver.Read(Register::kInterruptStatus), virtio::kInterruptUsedBuffer);

  driver.Reset();
  ASSERT_EQ(::write(events.call, &count, sizeof(count)), ssize_t{sizeof(count)});
  loop_.Settle();
  EXPECT_EQ(driver.Read(Register::kInterruptStatus), 0u);
  loop_.Run([&] { transport.reset(); });
}

TEST_F(MmioTransportTest, IgnoresKicksOfQueuesThatAreNotThere) {
  driver_.Notify(0);  // before DRIVER_OK
  driver_.Negotiate();
  driver_.SetUpQueue(1, guest_.queue(1).layout());
  driver_.AddStatus(virtio::kStatusDriverOk);
  driver_.Notify(0);  // not enabled
  driver_.Notify(2);
  driver_.Notify(~0u);
  loop_.Settle();
  EXPECT_EQ(device_.notifications(), 0);
  EXPECT_FALSE(NeedsReset());
}

TEST_F(MmioTransportTest, KeepsTheCauseOfAnInterruptUntilItIsAcknowledged) {
  Start();
  guest_.queue(0).AddWritable(1);
  driver_.Notify(0);
  loop_.Settle();
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), virtio::kInterruptUsedBuffer);
  driver_.Write(Register::kInterruptAcknowledge, virtio::kInterruptConfigChange);
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), virtio::kInterruptUsedBuffer);
  driver_.Write(Register::kInterruptAcknowledge, virtio::kInterruptUsedBuffer);
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), 0u);
}

TEST_F(MmioTransportTest, ReadsAndWritesTheConfigurationSpace) {
  EXPECT_EQ(driver_.ReadConfig<uint32_t>(0), 0x04030201u);
  EXPECT_EQ(driver_.ReadConfig<uint8_t>(7), 8u);
  EXPECT_EQ(driver_.ReadConfig<uint64_t>(0), 0x0807060504030201u);
  driver_.WriteConfig<uint16_t>(2, 0xbbaa);
  EXPECT_EQ(driver_.ReadConfig<uint32_t>(0), 0xbbaa0201u);
}

TEST_F(MmioTransportTest, AnswersNothingPastTheConfigurationSpace) {
  driver_.WriteConfig<uint32_t>(5, ~0u);  // three bytes lie inside
  driver_.WriteConfig<uint32_t>(8, ~0u);
  EXPECT_EQ(driver_.ReadConfig<uint64_t>(0), 0x0807060504030201u);
  EXPECT_EQ(driver_.ReadConfig<uint32_t>(5), 0u);
  EXPECT_EQ(driver_.ReadConfig<uint32_t>(0xe00), 0u);
}

TEST_F(MmioTransportTest, IgnoresAccessesThatNoRegisterAnswers) {
  std::array<uint8_t, 2> half = {0xff, 0xff};
  transport_->Read(0, absl::MakeSpan(half));
  EXPECT_THAT(half, ElementsAre(0, 0));
  std::array<uint8_t, 4> word = {0xff, 0xff, 0xff, 0xff};
  transport_->Write(static_cast<uint64_t>(Register::kStatus) + 2, word);
  transport_->Write(static_cast<uint64_t>(Register::kStatus), absl::MakeSpan(half));
  transport_->Read(1, absl::MakeSpan(word));
  EXPECT_THAT(word, ElementsAre(0, 0, 0, 0));
  driver_.Write(Register::kMagic, 1);
  driver_.Write(Register{0x0f8}, 1);
  EXPECT_EQ(driver_.Read(Register{0x0f8}), 0u);
  EXPECT_EQ(driver_.status(), 0u);
}

TEST_F(MmioTransportTest, TellsTheDriverThatTheConfigurationChanged) {
  Start();
  const uint32_t generation = driver_.Read(Register::kConfigGeneration);
  loop_.Run([this] { device_.ChangeConfig(99); });
  EXPECT_EQ(driver_.ReadConfig<uint8_t>(0), 99u);
  EXPECT_NE(driver_.Read(Register::kConfigGeneration), generation);
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), virtio::kInterruptConfigChange);
  EXPECT_EQ(driver_.TakeInterrupts(), 1u);
}

TEST_F(MmioTransportTest, IsSilentBeforeDriverOk) {
  loop_.Run([this] { device_.ChangeConfig(99); });
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), 0u);
  EXPECT_EQ(driver_.TakeInterrupts(), 0u);
  EXPECT_EQ(driver_.ReadConfig<uint8_t>(0), 99u);
}

TEST_F(MmioTransportTest, HasResetTheDeviceWhenTheWriteReturns) {
  Start();
  guest_.queue(0).AddWritable(1);
  driver_.Notify(0);
  driver_.Reset();
  EXPECT_EQ(device_.resets(), 1);
  EXPECT_FALSE(device_.active());
  EXPECT_EQ(driver_.status(), 0u);
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), 0u);
  driver_.Write(Register::kQueueSelect, 0);
  EXPECT_EQ(driver_.Read(Register::kQueueReady), 0u);
}

TEST_F(MmioTransportTest, StartsAgainAfterAReset) {
  for (int round = 1; round <= 3; ++round) {
    FakeGuest& guest = guest_;
    FakeQueue fresh(guest, 8, /*event_index=*/true);
    driver_.Reset();
    driver_.Negotiate();
    driver_.SetUpQueue(0, fresh.layout());
    driver_.AddStatus(virtio::kStatusDriverOk);
    fresh.AddChain({guest.Readable("x"), guest.Writable(1)});
    driver_.Notify(0);
    loop_.Settle();
    EXPECT_THAT(fresh.Used(), SizeIs(1));
    EXPECT_EQ(device_.activations(), round);
  }
}

TEST_F(MmioTransportTest, AsksForAResetWhenTheGuestBreaksARing) {
  Start();
  guest_.queue(0).MakeAvailable(999);
  driver_.Notify(0);
  loop_.Settle();
  EXPECT_TRUE(NeedsReset());
  EXPECT_EQ(driver_.Read(Register::kInterruptStatus), virtio::kInterruptConfigChange);

  const int notifications = device_.notifications();
  driver_.Notify(0);
  driver_.WriteConfig<uint8_t>(0, 55);
  loop_.Settle();
  EXPECT_EQ(device_.notifications(), notifications);  // nothing but Reset any more
  EXPECT_EQ(driver_.ReadConfig<uint8_t>(0), 1u);

  driver_.Reset();
  EXPECT_EQ(device_.resets(), 1);
  EXPECT_EQ(driver_.status(), 0u);
}

TEST_F(MmioTransportTest, AsksForAResetWhenTheDeviceReportsAViolation) {
  Start();
  loop_.Run([this] { device_.ReportViolation(); });
  EXPECT_TRUE(NeedsReset());
}

TEST_F(MmioTransportTest, AsksForAResetWhenAQueueIsNoQueue) {
  driver_.Negotiate();
  VirtqueueLayout layout = guest_.queue(0).layout();
  layout.driver_area = GuestAddress{0x10};
  driver_.SetUpQueue(0, layout);
  driver_.AddStatus(virtio::kStatusDriverOk);
  EXPECT_TRUE(NeedsReset());
  EXPECT_EQ(device_.activations(), 0);
  driver_.Reset();
  EXPECT_EQ(device_.resets(), 0);  // it was never active
}

TEST_F(MmioTransportTest, AsksForAResetWhenAQueueIsTooLarge) {
  driver_.Negotiate();
  VirtqueueLayout layout = guest_.queue(0).layout();
  layout.size = 16;
  driver_.SetUpQueue(0, layout);
  driver_.AddStatus(virtio::kStatusDriverOk);
  EXPECT_TRUE(NeedsReset());
}

TEST_F(MmioTransportTest, LaysOutQueuesOnlyBetweenFeaturesOkAndDriverOk) {
  driver_.SetUpQueue(0, guest_.queue(0).layout());
  driver_.Write(Register::kQueueSelect, 0);
  EXPECT_EQ(driver_.Read(Register::kQueueReady), 0u);

  driver_.Negotiate();
  driver_.SetUpQueue(0, guest_.queue(0).layout());
  driver_.Write(Register::kQueueSize, 2);  // ready: settled
  driver_.AddStatus(virtio::kStatusDriverOk);
  driver_.SetUpQueue(1, guest_.queue(1).layout());
  EXPECT_EQ(driver_.Read(Register::kQueueReady), 0u);
  EXPECT_EQ(device_.queues()[0]->layout().size, 8);
}

TEST_F(MmioTransportTest, StopsTheDeviceWhenTheDriverTakesAQueueBack) {
  Start();
  driver_.Write(Register::kQueueSelect, 1);
  driver_.Write(Register::kQueueReady, 0);
  EXPECT_EQ(driver_.Read(Register::kQueueReady), 0u);
  EXPECT_EQ(device_.resets(), 1);
  EXPECT_TRUE(NeedsReset());
  driver_.Reset();
  EXPECT_EQ(device_.resets(), 1);
  driver_.Start(guest_, 1);
  EXPECT_TRUE(device_.active());
}

TEST_F(MmioTransportTest, TakesWritesFromSeveralVcpusAtOnce) {
  std::vector<std::thread> vcpus;
  for (int vcpu = 0; vcpu < 3; ++vcpu) {
    vcpus.emplace_back([this, vcpu] {
      for (int i = 0; i < 200; ++i) {
        driver_.Start(guest_, 2);
        driver_.Notify(static_cast<uint32_t>(vcpu % 2));
        driver_.WriteConfig<uint8_t>(1, static_cast<uint8_t>(i));
        driver_.Read(Register::kInterruptStatus);
        driver_.Reset();
      }
    });
  }
  for (std::thread& vcpu : vcpus) vcpu.join();
  driver_.Reset();
  EXPECT_FALSE(device_.active());
  EXPECT_EQ(driver_.status(), 0u);
  EXPECT_EQ(device_.activations(), device_.resets());
}

TEST_F(MmioTransportTest, LetsAVcpuGoWhenItIsClosed) {
  LoopThread stopped;
  FakeDevice device;
  std::unique_ptr<MmioTransport> transport;
  stopped.Run([&] { transport = *MmioTransport::Create(stopped.loop(), guest_.memory(), device); });
  stopped.Stop();  // from here on nobody serves the loop
  std::thread vcpu([&] { MmioDriver(*transport).Reset(); });
  transport->Close();
  vcpu.join();
  EXPECT_EQ(MmioDriver(*transport).status(), 0u);
  MmioDriver(*transport).Start(guest_, 2);
  EXPECT_EQ(device.activations(), 0);
}

}  // namespace
}  // namespace msb
