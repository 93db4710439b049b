// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-fs (VIRTIO 1.2, 5.11): a FUSE session between the guest's kernel and a server in another
// process, which serves the queues itself (handover.h). The device hands them over when the driver
// has activated it, and takes them back before anybody is told that it is at rest or reset. It
// looks at no message.
//
// A server that has died answers every request, also those under way, with ENOTCONN: the mount is
// of no more use, the guest goes on. There is no way back: what the server knew is gone. So is one
// that does not give back the queues in time, or says what cannot be said.
//
// Threading: the event loop's.

#ifndef MSB_VMM_DEVICES_VIRTIO_FS_FS_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_FS_FS_DEVICE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/fs/handover.h"
#include "vmm/devices/virtio/fs/in_flight_table.h"
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
  // Refused, of a server that is gone, between two looks at others.
  static constexpr int kMaxRefusalsPerTurn = kQueueSize;

  struct Options {
    std::string tag;  // 1..36 bytes: what the guest mounts
    // How long a server may take to give back the queues, before it counts as dead.
    absl::Duration patience = absl::Seconds(5);
  };

  // `server` is a connected stream socket; `loop` outlives the device. kHostError.
  static absl::StatusOr<std::unique_ptr<FsDevice>> Create(EventLoop& loop, UniqueFd server,
                                                          Options options);
  ~FsDevice() override;

  const std::string& tag() const { return options_.tag; }

  DeviceId id() const override { return DeviceId::kFs; }
  uint64_t features() const override { return 0; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return queue_sizes_; }
  absl::Span<const uint8_t> config() const override;
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}  // read-only (5.11.4)
  bool watches_kicks() const override { return true; }
  // The queues that are not suspended go to the server; the others once they are notified of.
  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;
  // The next OnNotify hands the queues over again.
  void Quiesce() override;
  // The tag alone: the session is the server's.
  msb::vmm::v1::DeviceState Save() const override;
  // kStateInvalid for another tag.
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  enum class TakenBack {
    kAtRest,
    kBroken,  // the guest had broken the rules: the queues are of no use until a reset
  };

  FsDevice(EventLoop& loop, UniqueFd server, InFlightTable table, Options options);

  bool server_is_gone() const { return !server_.valid(); }
  bool handed_over() const { return held_[0] || held_[1]; }
  void HandOver();
  absl::StatusOr<TakenBack> TakeBack(TakenBack known);
  absl::Status TakePositions(const fs_handover::Answer& answer, TakenBack how);
  absl::StatusOr<std::optional<fs_handover::Answer>> ReceiveAnswer();
  void OnServerWord();
  void DropServer(const absl::Status& why);
  void OnServerEnd(const absl::Status& why);
  absl::Status Recover(uint16_t index);
  // The rest is of the time when the server is gone.
  bool ComeToRest();
  absl::Status StartRefusing();
  absl::Status RefuseAll();
  void StopRefusing();
  void OnKick(uint16_t index);
  absl::Status RefuseAvailable(uint16_t index);
  absl::Status RefuseOne(uint16_t index, DescriptorChain chain);
  void GoOnRefusing();
  void Report(const absl::Status& status);

  EventLoop& loop_;
  const Options options_;
  const std::array<uint16_t, fs_handover::kQueues> queue_sizes_ = {kHighPriorityQueueSize,
                                                                   kQueueSize};
  const virtio::FsConfig config_;
  UniqueFd server_;  // invalid once it is gone
  InFlightTable table_;
  std::array<Virtqueue*, fs_handover::kQueues> queues_ = {};  // null while inactive
  std::array<bool, fs_handover::kQueues> held_ = {};          // by the server
  std::array<int, fs_handover::kQueues> kicks_ = {-1, -1};    // watched here
  std::array<bool, fs_handover::kQueues> stalled_ = {};       // had no more of a turn
  NextTurn next_turn_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_FS_FS_DEVICE_H_
