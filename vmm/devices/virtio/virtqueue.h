// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The device's side of a split virtqueue (VIRTIO 1.2, section 2.7), with indirect descriptors and
// event index. The one walker of the house: MMIO in our machine and vhost-user towards QEMU both
// drive it.
//
// Everything in the rings is the guest's and hostile: indices are checked against the size, a chain
// has at most `size` descriptors and an indirect table at most kMaxIndirectDescriptors, addresses
// go through GuestMemory. An error means that the guest broke the rules; the queue is then unusable
// until the driver resets the device.
//
// Threading: belongs to the thread that serves the device.

#ifndef MSB_VMM_DEVICES_VIRTIO_VIRTQUEUE_H_
#define MSB_VMM_DEVICES_VIRTIO_VIRTQUEUE_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class Virtqueue;

// Linux's drivers make indirect tables longer than the queue, against 2.7.5.3.1, but never longer
// than this (the limit of QEMU, which they are tested with).
inline constexpr uint32_t kMaxIndirectDescriptors = 1024;

// A buffer list that the driver made available. Move-only; completed once, or given back unused by
// Virtqueue::Return. The bytes stay in guest memory: copy a header out before looking at it.
class DescriptorChain {
 public:
  using Buffers = absl::InlinedVector<absl::Span<uint8_t>, 4>;

  DescriptorChain(DescriptorChain&&) = default;
  DescriptorChain& operator=(DescriptorChain&&) = default;

  // Driver to device, in order; never empty spans.
  absl::Span<const absl::Span<uint8_t>> readable() const { return readable_; }
  // Device to driver.
  absl::Span<const absl::Span<uint8_t>> writable() const { return writable_; }
  // Its first descriptor: no two chains that are under way have the same.
  uint16_t head() const { return head_; }
  uint64_t readable_bytes() const { return readable_bytes_; }
  uint64_t writable_bytes() const { return writable_bytes_; }

  // Copies up to out.size() readable bytes from `offset` on; returns how many there were.
  size_t CopyOut(uint64_t offset, absl::Span<uint8_t> out) const;
  // Copies into the writable part from `offset` on; returns how many bytes fitted.
  size_t CopyIn(uint64_t offset, absl::Span<const uint8_t> in) const;

 private:
  friend class Virtqueue;
  DescriptorChain() = default;

  uint16_t head_ = 0;
  Buffers readable_;
  Buffers writable_;
  uint64_t readable_bytes_ = 0;
  uint64_t writable_bytes_ = 0;
};

struct VirtqueueLayout {
  uint16_t size = 0;  // a power of two, at most the device's maximum
  GuestAddress descriptor_table{};
  GuestAddress driver_area{};  // "available" ring
  GuestAddress device_area{};  // "used" ring
  friend bool operator==(const VirtqueueLayout&, const VirtqueueLayout&) = default;
};

class Virtqueue {
 public:
  // Raises the queue's interrupt; the transport's.
  using Interrupt = std::function<void()>;

  // Checks alignment and that each part lies in guest memory. `memory` outlives the queue.
  static absl::StatusOr<Virtqueue> Create(const GuestMemory& memory, const VirtqueueLayout& layout,
                                          bool event_index, Interrupt interrupt);

  // Whether Pop would return a chain. Where it answers no, notifications are on (2.7.7, 2.7.10),
  // and a buffer that came meanwhile has been looked for again: no kick is lost.
  absl::StatusOr<bool> HasNext();
  // The next chain. Call only after HasNext was true. Chains may be completed in any order, later
  // too; a driver that makes more available than the queue has descriptors is refused.
  absl::StatusOr<DescriptorChain> Pop();
  // Puts the chain into the used ring with `written` bytes, at most its writable_bytes. The driver
  // sees it at once; it is told by the next Flush.
  absl::Status Complete(DescriptorChain chain, uint32_t written);
  // Completes several, in order, which the driver sees all at once: the buffers of one frame.
  struct Completion {
    DescriptorChain chain;
    uint32_t written = 0;
  };
  absl::Status CompleteTogether(absl::Span<Completion> completions);
  // Gives back the chain that was popped last, unused.
  void Return(DescriptorChain chain);
  // Interrupts the driver if anything was completed since the last Flush and it wants to know.
  absl::Status Flush();

  // Between the two, HasNext answers no and the rings are left alone: the transport has stopped the
  // queue without resetting the device (vhost-user). The device's next word of it is OnNotify.
  void Suspend() { suspended_ = true; }
  void Resume() { suspended_ = false; }

  bool suspended() const { return suspended_; }

  const VirtqueueLayout& layout() const { return layout_; }
  const GuestMemory& memory() const { return *memory_; }
  bool event_index() const { return event_index_; }

  // Eventfds of the transport, for a device that has its queues served by another process: who
  // serves reads one for a kick and writes to the other for an interrupt. -1: there is none.
  struct Events {
    int kick = -1;
    int call = -1;
  };
  const Events& events() const { return events_; }
  void set_events(Events events) { events_ = events; }

  // For Save: what the driver cannot be asked for.
  uint16_t next_available() const { return next_available_; }
  uint16_t next_used() const { return next_used_; }
  // For Restore and vhost-user's SET_VRING_BASE. The difference is what was popped and not
  // completed: zero for a queue that was saved at rest.
  void SetPosition(uint16_t next_available, uint16_t next_used);

  // How far the used ring says that its server came: the guest's word, as all of the ring is.
  uint16_t PublishedUsed() const;
  // Goes on where a server that died left the queue: `used` chains are completed, and `heads` are
  // popped and not completed. Their chains, as far as they can be walked; the driver is interrupted
  // by the next Flush, whatever it has been told before.
  absl::StatusOr<std::vector<DescriptorChain>> Recover(uint16_t used,
                                                       absl::Span<const uint16_t> heads);

 private:
  Virtqueue(const GuestMemory& memory, const VirtqueueLayout& layout, bool event_index,
            Interrupt interrupt)
      : memory_(&memory),
        layout_(layout),
        event_index_(event_index),
        interrupt_(std::move(interrupt)) {}

  absl::StatusOr<DescriptorChain> WalkFrom(uint16_t head) const;
  void PutUsed(uint16_t head, uint32_t written);
  uint16_t in_flight() const { return static_cast<uint16_t>(next_available_ - next_used_); }
  absl::Status ReadAvailableIndex();
  void EnableNotifications();
  void DisableNotifications();
  bool DriverWantsInterrupt() const;

  const GuestMemory* memory_ = nullptr;
  VirtqueueLayout layout_;
  bool event_index_ = false;
  Interrupt interrupt_;
  // The rings in host memory, found once by Create.
  uint8_t* descriptors_ = nullptr;
  uint8_t* driver_area_ = nullptr;
  uint8_t* device_area_ = nullptr;

  uint16_t next_available_ = 0;
  uint16_t seen_available_ = 0;  // the driver's index as last read and checked
  uint16_t next_used_ = 0;
  uint16_t flushed_used_ = 0;
  bool suspended_ = false;
  bool notifications_off_ = false;  // only without event index
  // 65,536 completions since the last Flush, or a server that may have died before its own.
  bool interrupt_is_due_ = false;
  Events events_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VIRTQUEUE_H_
