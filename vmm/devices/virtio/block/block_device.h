// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-blk (VIRTIO 1.2, 5.2): one disk, one request queue.
//
// A read that the page cache can answer is served on the spot: that is most of what happens on the
// image that all sandboxes share. Everything that may wait for storage goes to the disk's own
// thread (BlockWorker) and is completed on the loop again. The detour costs about 5 us (4 KiB from
// kick to interrupt: 3.6 us read, 8 us written); a flush that takes 100 ms then costs the sandbox's
// sockets nothing.
//
// Threading: the event loop's, as every device.

#ifndef MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_DEVICE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "msb/vmm/v1/control.pb.h"
#include "vmm/devices/virtio/block/block_worker.h"
#include "vmm/devices/virtio/block/disk_file.h"
#include "vmm/devices/virtio/next_turn.h"
#include "vmm/devices/virtio/spec/block.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

class BlockDevice final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 256;
  // Cached bytes that one notification may read on the loop (0.05 to 0.2 ms); the rest goes to the
  // thread, so that a guest that reads without end leaves the loop to others.
  static constexpr uint64_t kMaxInlineBytes = uint64_t{1} << 20;
  // Requests that one notification looks at. Those that need no storage at all (refused ones, empty
  // ones) are answered at once, and a driver can bring them for ever.
  static constexpr int kMaxRequestsPerTurn = kQueueSize;

  struct Options {
    std::string id;  // the serial that the guest reads; what is beyond 20 bytes is cut off
    // First thing that the disk's thread does: to install its seccomp filter. May be null.
    std::function<void()> on_thread_start;
  };

  // `loop` outlives the device.
  BlockDevice(EventLoop& loop, DiskFile disk, Options options);
  ~BlockDevice() override;

  DeviceId id() const override { return DeviceId::kBlock; }
  uint64_t features() const override;
  absl::Span<const uint16_t> max_queue_sizes() const override { return queue_sizes_; }
  absl::Span<const uint8_t> config() const override;
  void WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) override;
  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;
  void Quiesce() override;
  msb::vmm::v1::DeviceState Save() const override;
  // kStateInvalid when the disk is not the one that was saved: another size, or writable otherwise.
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

  msb::vmm::v1::DiskStats stats() const { return stats_; }

 private:
  absl::Status ServeQueue();
  void GoOn();
  absl::Status Serve(DescriptorChain chain, uint64_t& inline_bytes_left,
                     std::vector<BlockRequest>& for_worker);
  bool ServeFromCache(const BlockRequest& request, uint64_t& inline_bytes_left);
  absl::Status CompleteOne(BlockRequest request, virtio::BlockStatus status);
  void CompleteFinished();
  DiskFile::Durability durability() const;

  EventLoop& loop_;
  const DiskFile disk_;
  const std::string id_;
  const std::array<uint16_t, 1> queue_sizes_ = {kQueueSize};
  virtio::BlockConfig config_ = {};
  uint64_t driver_features_ = 0;
  Virtqueue* queue_ = nullptr;  // while active
  msb::vmm::v1::DiskStats stats_;
  // Gone with the device: what was posted to the loop looks here first.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  NextTurn next_turn_;
  BlockWorker worker_;  // last: ends first
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_DEVICE_H_
