// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-rng (VIRTIO 1.2, 5.4): one request queue, no configuration space. The bytes are those of
// getrandom(2).

#ifndef MSB_VMM_DEVICES_VIRTIO_RNG_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_RNG_DEVICE_H_

#include <array>
#include <cstdint>

#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

class RngDevice final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 64;
  // A longer request gets this much (5.4.6: "one or more" bytes): a whole ring then takes the event
  // loop less than a millisecond.
  static constexpr uint64_t kMaxRequestBytes = 4096;

  DeviceId id() const override { return DeviceId::kRng; }
  uint64_t features() const override { return 0; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return queue_sizes_; }
  absl::Span<const uint8_t> config() const override { return {}; }
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}
  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override { requests_ = nullptr; }
  msb::vmm::v1::DeviceState Save() const override;
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  const std::array<uint16_t, 1> queue_sizes_ = {kQueueSize};
  Virtqueue* requests_ = nullptr;  // while active
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_RNG_DEVICE_H_
