// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-rng (VIRTIO 1.2, 5.4): one request queue, no configuration space. The bytes are those of
// getrandom(2).

#ifndef MSB_VMM_DEVICES_VIRTIO_RNG_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_RNG_DEVICE_H_

#include <array>
#include <cstdint>

#include "base/event_loop.h"
#include "vmm/devices/virtio/next_turn.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

class RngDevice final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 64;
  // A longer request gets this much (5.4.6: "one or more" bytes), and a notification serves so many
  // before the loop looks after others: less than a millisecond's work.
  static constexpr uint64_t kMaxRequestBytes = 4096;
  static constexpr int kMaxRequestsPerTurn = 64;

  // `loop` outlives the device.
  explicit RngDevice(EventLoop& loop) : next_turn_(loop, [this] { GoOn(); }) {}

  DeviceId id() const override { return DeviceId::kRng; }
  uint64_t features() const override { return 0; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return queue_sizes_; }
  absl::Span<const uint8_t> config() const override { return {}; }
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}
  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;
  msb::vmm::v1::DeviceState Save() const override;
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  absl::Status Serve();
  void GoOn();

  const std::array<uint16_t, 1> queue_sizes_ = {kQueueSize};
  Virtqueue* requests_ = nullptr;  // while active
  NextTurn next_turn_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_RNG_DEVICE_H_
