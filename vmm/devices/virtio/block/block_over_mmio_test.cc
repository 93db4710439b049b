// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A disk as our own machine has it: behind registers, with a kick and an interrupt.

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "tests/support/vmm/loop_thread.h"
#include "tests/support/vmm/mmio_driver.h"
#include "vmm/devices/virtio/block/block_device.h"
#include "vmm/devices/virtio/mmio_transport.h"

namespace msb {
namespace {

using msb::vmm::v1::VirtioTransportState;
using testing::Each;
using testing::Field;
using testing::SizeIs;
using virtio::BlockRequestHeader;
using virtio::BlockRequestType;
using virtio::UsedElement;

class BlockOverMmioTest : public testing::Test {
 protected:
  static constexpr uint64_t kDiskBytes = uint64_t{1} << 20;

  struct Machine {
    std::unique_ptr<BlockDevice> device;
    std::unique_ptr<MmioTransport> transport;
  };
  BlockOverMmioTest() : file_(::memfd_create("disk", MFD_CLOEXEC)) {
    MSB_CHECK(::ftruncate(file_.get(), kDiskBytes) == 0);
  }
  Machine MakeMachine() {
    Machine machine;
    loop_.Run([&] {
      auto disk = DiskFile::Open(UniqueFd(::dup(file_.get())), DiskFile::Access::kReadWrite);
      MSB_CHECK(disk.ok());
      machine.device = std::make_unique<BlockDevice>(loop_.loop(), *std::move(disk),
                                                     BlockDevice::Options{.id = "disk"});
      auto transport = MmioTransport::Create(loop_.loop(), guest_.memory(), *machine.device);
      MSB_CHECK(transport.ok());
      machine.transport = *std::move(transport);
    });
    return machine;
  }
  void End(Machine& machine) {
    loop_.Run([&] {
      machine.transport.reset();
      machine.device.reset();
    });
  }
  FakeChain AddRequest(BlockRequestType type, FakeBuffer data) {
    const BlockRequestHeader header{
        .type = static_cast<uint32_t>(type), .reserved = 0, .sector = 2};
    return guest_.queue().AddChain(
        {guest_.Readable(absl::string_view(reinterpret_cast<const char*>(&header), sizeof(header))),
         std::move(data), guest_.Writable(1)});
  }

  UniqueFd file_;
  FakeGuest guest_{{.queue_sizes = {64}}};
  LoopThread loop_;
};

TEST_F(BlockOverMmioTest, KeepsWhatWasInFlightWhenTheMachineIsSaved) {
  Machine saved = MakeMachine();
  Machine restored = MakeMachine();
  const MmioDriver before(*saved.transport);
  const MmioDriver after(*restored.transport);
  before.Start(guest_, 1, MmioDriver::kDefaultFeatures | virtio::kBlockFeatureFlush);
  for (int i = 0; i < 10; ++i) {
    AddRequest(BlockRequestType::kWrite, guest_.Readable(std::string(4096, 'w')));
  }
  absl::StatusOr<VirtioTransportState> state;
  loop_.Run([&] {
    ASSERT_OK(saved.device->OnNotify(0));  // the requests are on the disk's thread now, or done
    state = saved.transport->Save();
  });
  ASSERT_OK(state.status());
  EXPECT_THAT(guest_.queue().Used(), SizeIs(10));

  loop_.Run([&] { ASSERT_OK(restored.transport->Restore(*state)); });
  const FakeChain read = AddRequest(BlockRequestType::kRead, guest_.Writable(4096));
  after.Notify(0);
  loop_.Settle();
  loop_.Run([&] { restored.device->Quiesce(); });
  EXPECT_THAT(guest_.queue().Used(), Each(Field(&UsedElement::length, 4097u)));
  EXPECT_EQ(guest_.Read(read.buffers[1]), std::string(4096, 'w'));
  EXPECT_EQ(after.Read(virtio::MmioRegister::kInterruptStatus), virtio::kInterruptUsedBuffer);
  End(saved);
  End(restored);
}

TEST_F(BlockOverMmioTest, ResetsADiskThatIsAtWork) {
  Machine machine = MakeMachine();
  const MmioDriver driver(*machine.transport);
  for (int round = 0; round < 20; ++round) {
    FakeQueue fresh(guest_, 64, /*event_index=*/true);
    driver.Reset();
    driver.Negotiate(MmioDriver::kDefaultFeatures | virtio::kBlockFeatureFlush);
    driver.SetUpQueue(0, fresh.layout());
    driver.AddStatus(virtio::kStatusDriverOk);
    const BlockRequestHeader header{
        .type = static_cast<uint32_t>(BlockRequestType::kWrite), .reserved = 0, .sector = 0};
    for (int i = 0; i < 10; ++i) {
      fresh.AddChain({guest_.Readable(absl::string_view(reinterpret_cast<const char*>(&header),
                                                        sizeof(header))),
                      guest_.Readable(std::string(4096, 'r')), guest_.Writable(1)});
    }
    driver.Notify(0);
    driver.Reset();
    const uint16_t used = fresh.used_index();
    loop_.Settle();
    EXPECT_EQ(fresh.used_index(), used);  // nothing comes after the reset
  }
  End(machine);
}

}  // namespace
}  // namespace msb
