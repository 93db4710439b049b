// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-balloon (VIRTIO 1.2, 5.5): takes memory from the guest and gives it to the host, on our
// wish (the target) or on the guest's own report of what is free.
//
// The balloon relies on a friendly driver: a hostile one keeps its memory, and says otherwise. So
// what it says (actual) is a figure for people, and the sandbox's memory limit is its cgroup's.

#ifndef MSB_VMM_DEVICES_VIRTIO_BALLOON_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_BALLOON_DEVICE_H_

#include <cstdint>
#include <vector>

#include "base/event_loop.h"
#include "vmm/devices/virtio/next_turn.h"
#include "vmm/devices/virtio/spec/balloon.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class BalloonDevice final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 128;
  // Pages of one inflate request: 16 MiB. Linux and FreeBSD send 256, Windows 1024.
  static constexpr uint64_t kMaxPagesPerRequest = 4096;
  // What a notification serves before the loop looks after others: so many requests, and no further
  // one once so many ranges were given back (about a microsecond each).
  static constexpr int kMaxRequestsPerTurn = kQueueSize;
  static constexpr size_t kMaxDiscardsPerTurn = 4096;

  struct Options {
    bool deflate_on_oom = true;       // the guest may take pages back rather than kill a process
    bool free_page_reporting = true;  // the guest tells by itself what is free
  };

  // `loop` and `memory` outlive the device; `memory` is the guest's.
  BalloonDevice(EventLoop& loop, const GuestMemory& memory, const Options& options);

  // Asks the guest to give up `mib` MiB in all; it does so when it can. kInvalidArgument when it
  // does not have as much.
  absl::Status SetTargetMib(uint32_t mib);
  // What the guest says that it has given up, never more than it has.
  uint64_t actual_bytes() const;

  DeviceId id() const override { return DeviceId::kBalloon; }
  uint64_t features() const override;
  absl::Span<const uint16_t> max_queue_sizes() const override { return queue_sizes_; }
  absl::Span<const uint8_t> config() const override;
  void WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) override;
  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;
  msb::vmm::v1::DeviceState Save() const override;
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  absl::Status Serve(uint16_t index);
  void GoOn();
  // These return how many ranges they have given back.
  absl::StatusOr<size_t> Carry(uint16_t index, const DescriptorChain& chain) const;
  absl::StatusOr<size_t> Inflate(const DescriptorChain& chain) const;
  absl::StatusOr<size_t> DiscardPages(absl::Span<uint32_t> pages) const;
  absl::StatusOr<size_t> DiscardReported(const DescriptorChain& chain) const;
  uint64_t memory_pages() const { return memory_.total_bytes() / virtio::kBalloonPageBytes; }

  const GuestMemory& memory_;
  const Options options_;
  const std::vector<uint16_t> queue_sizes_;
  virtio::BalloonConfig config_ = {};
  std::vector<Virtqueue*> queues_;  // while active
  NextTurn next_turn_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_BALLOON_DEVICE_H_
