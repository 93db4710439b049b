// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One virtio device behind memory-mapped registers (VIRTIO 1.2, section 4.2, version 2).
//
// Threading: Read and Write come from vCPU threads, several at a time. The device itself is called
// on the event loop's thread alone: a write that means a call of the device (DRIVER_OK, a reset,
// its configuration space) waits until the loop has made it, so that whatever the driver reads next
// is true. Everything else here belongs to the loop's thread.
//
// To end: Close, join the vCPU threads, destroy. A pause needs no Close, as long as the loop goes
// on serving while it waits for the vCPUs.

#ifndef MSB_VMM_DEVICES_VIRTIO_MMIO_TRANSPORT_H_
#define MSB_VMM_DEVICES_VIRTIO_MMIO_TRANSPORT_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/state.pb.h"
#include "vmm/bus/bus.h"
#include "vmm/devices/virtio/loop_gate.h"
#include "vmm/devices/virtio/spec/mmio.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/devices/virtio/virtqueue.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class MmioTransport final : public BusDevice, public ConfigChangeNotifier {
 public:
  // The window that the device takes on the bus. Registers, then up to 3,840 bytes of
  // configuration.
  static constexpr uint64_t kWindowBytes = 4096;

  // `loop`, `memory` and `device` outlive the transport.
  static absl::StatusOr<std::unique_ptr<MmioTransport>> Create(EventLoop& loop,
                                                               const GuestMemory& memory,
                                                               VirtioDevice& device);
  ~MmioTransport() override;

  // An access that no register answers (of another width than 4 bytes, unaligned, unknown, past the
  // configuration space) reads as zero and writes nothing.
  void Read(uint64_t offset, absl::Span<uint8_t> data) override;
  void Write(uint64_t offset, absl::Span<const uint8_t> data) override;

  size_t queue_count() const { return notify_events_.size(); }
  // An eventfd: a write to it is a kick of queue `index`. For KVM's ioeventfd, at the offset of
  // QUEUE_NOTIFY with the index as the value to match. Without one the register itself works.
  int notify_fd(size_t index) const { return notify_events_[index].get(); }
  static constexpr uint64_t kNotifyOffset =
      static_cast<uint64_t>(virtio::MmioRegister::kQueueNotify);
  // An eventfd that is written to whenever the device interrupts: an edge.
  int irq_fd() const { return irq_event_.get(); }

  // From now on Write of a status or configuration waits for nothing and does nothing.
  void Close() { gate_.Close(); }

  // ConfigChangeNotifier.
  void OnConfigChanged() override;
  void OnGuestViolation(const absl::Status& why) override;

  // With the vCPUs paused. kInternalBug when the device did not come to rest.
  absl::StatusOr<msb::vmm::v1::VirtioTransportState> Save();
  // Before the first vCPU runs. Every queue counts as kicked afterwards, since a kick may have been
  // on its way when the state was saved. kStateInvalid for what Save cannot have written.
  absl::Status Restore(const msb::vmm::v1::VirtioTransportState& state);

 private:
  struct QueueRegisters {
    VirtqueueLayout layout;
    bool ready = false;
  };
  struct Registers {
    uint32_t status = 0;
    uint64_t driver_features = 0;
    uint32_t device_features_select = 0;
    uint32_t driver_features_select = 0;
    uint32_t queue_select = 0;
    std::vector<QueueRegisters> queues;
  };
  // What the loop's thread thinks of the device.
  enum class Phase {
    kIdle,    // reset, or never activated
    kActive,  // has its queues
    kBroken,  // has its queues, and a guest that broke the rules: only Reset is called
  };

  MmioTransport(EventLoop& loop, const GuestMemory& memory, VirtioDevice& device,
                UniqueFd irq_event, std::vector<UniqueFd> notify_events,
                std::vector<UniqueFd> call_events);
  absl::Status WatchEvents();

  // vCPU threads.
  uint32_t ReadRegister(virtio::MmioRegister name);
  void WriteRegister(virtio::MmioRegister name, uint32_t value);
  void WriteQueueRegister(virtio::MmioRegister name, uint32_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadConfig(uint64_t offset, absl::Span<uint8_t> data);
  void WriteConfig(uint64_t offset, absl::Span<const uint8_t> data);
  void WriteStatus(uint32_t value);
  bool AcceptStatusLocked(uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteQueueReady(uint32_t value);
  void Kick(uint32_t index);

  // The loop's thread.
  void OnKick(uint16_t index);
  void OnCall(uint16_t index);
  void ActivateDevice();
  absl::Status BuildQueues(const Registers& registers);
  void DropQueues();
  void ResetDevice();
  void StopDevice();
  void AskForReset(const absl::Status& why);
  void Break(const absl::Status& why);
  void RefreshConfig();
  void Interrupt(uint32_t cause);  // any thread
  absl::StatusOr<Registers> CheckState(const msb::vmm::v1::VirtioTransportState& state) const;

  Registers InitialRegisters() const;

  EventLoop& loop_;
  const GuestMemory& memory_;
  VirtioDevice& device_;
  const DeviceId device_id_;
  const std::vector<uint16_t> max_queue_sizes_;
  const uint64_t offered_features_;
  const UniqueFd irq_event_;
  const std::vector<UniqueFd> notify_events_;  // one a queue
  // The same for what another process interrupts by, of a device that has its queues served there.
  const std::vector<UniqueFd> call_events_;
  LoopGate gate_;

  // Held over a whole write, its wait for the loop included: vCPUs write one after the other. The
  // loop never takes it.
  absl::Mutex write_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  absl::Mutex mutex_;
  Registers registers_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint8_t> config_ ABSL_GUARDED_BY(mutex_);  // what device_.config() was
  uint32_t config_generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<uint32_t> interrupt_status_ = 0;

  Phase phase_ = Phase::kIdle;
  std::deque<Virtqueue> queues_;      // the enabled ones
  std::vector<Virtqueue*> queue_of_;  // by index; null where not enabled
  bool violation_logged_ = false;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_MMIO_TRANSPORT_H_
