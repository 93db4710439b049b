// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What Linux's virtio_mmio driver does with the registers, for tests. Calls come on the test's
// thread, which is the vCPU; the device's loop runs on another.

#ifndef MSB_TESTS_SUPPORT_VMM_MMIO_DRIVER_H_
#define MSB_TESTS_SUPPORT_VMM_MMIO_DRIVER_H_

#include <unistd.h>

#include <cstdint>

#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/mmio_transport.h"
#include "vmm/devices/virtio/spec/device.h"
#include "vmm/devices/virtio/spec/mmio.h"

namespace msb {

class MmioDriver {
 public:
  using Register = virtio::MmioRegister;
  static constexpr uint64_t kDefaultFeatures =
      virtio::kFeatureVersion1 | virtio::kFeatureEventIndex | virtio::kFeatureIndirectDescriptors;

  explicit MmioDriver(MmioTransport& transport) : transport_(&transport) {}

  uint32_t Read(Register name) const {
    uint32_t value = 0;
    transport_->Read(static_cast<uint64_t>(name), Bytes(value));
    return value;
  }
  void Write(Register name, uint32_t value) const {
    transport_->Write(static_cast<uint64_t>(name), Bytes(value));
  }
  template <typename T>
  T ReadConfig(uint64_t offset) const {
    T value{};
    transport_->Read(static_cast<uint64_t>(Register::kConfig) + offset, Bytes(value));
    return value;
  }
  template <typename T>
  void WriteConfig(uint64_t offset, T value) const {
    transport_->Write(static_cast<uint64_t>(Register::kConfig) + offset, Bytes(value));
  }

  uint32_t status() const { return Read(Register::kStatus); }
  void AddStatus(uint32_t bits) const { Write(Register::kStatus, status() | bits); }
  void Reset() const { Write(Register::kStatus, 0); }

  uint64_t OfferedFeatures() const {
    Write(Register::kDeviceFeaturesSelect, 1);
    const uint64_t high = Read(Register::kDeviceFeatures);
    Write(Register::kDeviceFeaturesSelect, 0);
    return high << 32 | Read(Register::kDeviceFeatures);
  }
  // Up to FEATURES_OK; whether the device took `features`.
  bool Negotiate(uint64_t features = kDefaultFeatures) const {
    AddStatus(virtio::kStatusAcknowledge);
    AddStatus(virtio::kStatusDriver);
    Write(Register::kDriverFeaturesSelect, 1);
    Write(Register::kDriverFeatures, static_cast<uint32_t>(features >> 32));
    Write(Register::kDriverFeaturesSelect, 0);
    Write(Register::kDriverFeatures, static_cast<uint32_t>(features));
    AddStatus(virtio::kStatusFeaturesOk);
    return (status() & virtio::kStatusFeaturesOk) != 0;
  }
  void SetUpQueue(uint32_t index, const VirtqueueLayout& layout) const {
    const auto low = [](GuestAddress address) { return static_cast<uint32_t>(ToUint64(address)); };
    const auto high = [](GuestAddress address) {
      return static_cast<uint32_t>(ToUint64(address) >> 32);
    };
    Write(Register::kQueueSelect, index);
    Write(Register::kQueueSize, layout.size);
    Write(Register::kQueueDescriptorLow, low(layout.descriptor_table));
    Write(Register::kQueueDescriptorHigh, high(layout.descriptor_table));
    Write(Register::kQueueDriverLow, low(layout.driver_area));
    Write(Register::kQueueDriverHigh, high(layout.driver_area));
    Write(Register::kQueueDeviceLow, low(layout.device_area));
    Write(Register::kQueueDeviceHigh, high(layout.device_area));
    Write(Register::kQueueReady, 1);
  }
  // Everything, with all queues of `guest`.
  void Start(FakeGuest& guest, uint32_t queues, uint64_t features = kDefaultFeatures) const {
    Reset();
    Negotiate(features);
    for (uint32_t i = 0; i < queues; ++i) SetUpQueue(i, guest.queue(i).layout());
    AddStatus(virtio::kStatusDriverOk);
  }

  // A kick through the register, and one as KVM's ioeventfd makes it.
  void Notify(uint32_t queue) const { Write(Register::kQueueNotify, queue); }
  void NotifyByEvent(size_t queue) const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written =
        ::write(transport_->notify_fd(queue), &one, sizeof(one));
  }
  // How often the device has interrupted since the last call.
  uint64_t TakeInterrupts() const {
    uint64_t count = 0;
    return ::read(transport_->irq_fd(), &count, sizeof(count)) == sizeof(count) ? count : 0;
  }

 private:
  template <typename T>
  static absl::Span<uint8_t> Bytes(T& value) {
    return absl::MakeSpan(reinterpret_cast<uint8_t*>(&value), sizeof(value));
  }

  MmioTransport* transport_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_MMIO_DRIVER_H_
