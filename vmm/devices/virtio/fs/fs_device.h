// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-fs (VIRTIO 1.2, 5.11): a FUSE session between the guest's kernel and a server in another
// process. The device forwards; it understands no more of a message than its fixed header.
//
// A server that has died answers every request, also those under way, with ENOTCONN: the mount is
// of no more use, the guest goes on. There is no way back: what the server knew is gone.
//
// Threading: the event loop's.

#ifndef MSB_VMM_DEVICES_VIRTIO_FS_FS_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_FS_FS_DEVICE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/backends/fs/fuse_channel.h"
#include "vmm/devices/virtio/next_turn.h"
#include "vmm/devices/virtio/spec/fs.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

class FsDevice final : public VirtioDevice {
 public:
  // Linux asks for as many pages at once as the queue has descriptors, less 4, and at most 256.
  static constexpr uint16_t kQueueSize = 512;
  // QEMU makes all queues of one size.
  static constexpr uint16_t kHighPriorityQueueSize = kQueueSize;
  // What Linux sends at most: 1 MiB of data and what describes it.
  static constexpr uint32_t kMaxRequestBytes = (1 << 20) + 4096;
  static constexpr int kMaxRequestsPerTurn = kQueueSize;

  struct Options {
    std::string tag;  // 1..36 bytes: what the guest mounts
    // How long Quiesce waits for a server that does not answer, before it counts as dead.
    absl::Duration patience = absl::Seconds(5);
  };

  // `server` is a connected stream socket; `loop` outlives the device.
  static absl::StatusOr<std::unique_ptr<FsDevice>> Create(EventLoop& loop, UniqueFd server,
                                                          Options options);

  const std::string& tag() const { return options_.tag; }

  DeviceId id() const override { return DeviceId::kFs; }
  uint64_t features() const override { return 0; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return queue_sizes_; }
  absl::Span<const uint8_t> config() const override;
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}  // read-only (5.11.4)
  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;
  void Quiesce() override;
  // The tag alone: the session is the server's.
  msb::vmm::v1::DeviceState Save() const override;
  // kStateInvalid for another tag.
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  struct InFlight {
    uint16_t queue = 0;
    DescriptorChain chain;
  };

  FsDevice(EventLoop& loop, Options options);
  absl::Status Forward(uint16_t index);
  absl::Status ForwardOne(uint16_t index, DescriptorChain chain);
  absl::Status RefuseOne(uint16_t index, DescriptorChain chain, uint64_t unique);
  absl::Status FlushQueues();
  void OnDone(FuseChannel::Slot slot, uint32_t written);
  void OnTurnEnd();
  void OnServerEnd(const absl::Status& why);
  void GoOn();
  void Report(const absl::Status& status);

  const Options options_;
  const std::array<uint16_t, 2> queue_sizes_ = {kHighPriorityQueueSize, kQueueSize};
  const virtio::FsConfig config_;
  std::array<Virtqueue*, 2> queues_ = {};           // null while inactive
  std::vector<std::optional<InFlight>> in_flight_;  // by slot
  // Queues with chains that found no slot, or had no more of a turn.
  std::array<bool, 2> stalled_ = {};
  NextTurn next_turn_;
  absl::Status completion_;               // first error of OnDone, told at the turn's end
  std::unique_ptr<FuseChannel> channel_;  // last: ends first
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_FS_FS_DEVICE_H_
