// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The queues of the guest's virtio-fs device, between the VMM's order to serve them and that to
// stop. All of the rings and of the requests in them is the guest's, who may change it at any
// moment: a request's bytes are copied once, before anything looks at them.
//
// Threading: Next, Stop and what waits for kicks are of the thread whose turn it is; Complete comes
// from any.

#ifndef MSB_FILE_SERVER_GUEST_QUEUES_H_
#define MSB_FILE_SERVER_GUEST_QUEUES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/fs/handover.h"
#include "vmm/devices/virtio/fs/in_flight_table.h"
#include "vmm/devices/virtio/virtqueue.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class GuestQueues {
 public:
  // Maps the guest's memory. An error for an order that cannot be followed.
  static absl::StatusOr<std::unique_ptr<GuestQueues>> Create(fs_handover::ReceivedOrder order);

  // A request that was taken; its chain's buffers stay mapped until it is completed.
  struct Taken {
    uint16_t queue = 0;
    DescriptorChain chain;
  };
  // What may not wait comes first. nullopt when there is none now, and a kick will tell of the
  // next; none at all any more after Stop. kGuestViolation when the guest broke the rules.
  absl::StatusOr<std::optional<Taken>> Next();

  // Whether all is done that there was to do: memory is unmapped, positions are the last.
  enum class Rest { kNotYet, kReached };

  // What is put into a request's buffers: a header, what is there already, and the rest.
  struct Reply {
    absl::Span<const uint8_t> header;
    size_t in_place = 0;
    absl::Span<const uint8_t> rest;
    size_t bytes() const { return header.size() + in_place + rest.size(); }
  };
  // Gives a request back with `reply` (at most its writable bytes) in it, and tells the driver.
  // Once `is_given_up`, the VMM has taken the queues itself, and guest memory is left alone.
  Rest Complete(Taken taken, const Reply& reply, absl::FunctionRef<bool()> is_given_up);

  // No more requests; kReached when none is under way, else a Complete will return it.
  Rest Stop();
  // For the guest broke the rules: what it has asked for besides counts for nothing.
  void Drop(Taken taken);

  // Readable when the driver has kicked; -1 for a queue that there is not. The counter is to be
  // read before Next.
  std::array<int, fs_handover::kQueues> kicks() const;
  std::array<fs_handover::Answer::Position, fs_handover::kQueues> positions() const;

 private:
  struct Queue {
    Virtqueue ring;
    UniqueFd kick;
    UniqueFd call;
  };

  GuestQueues(GuestMemory memory, InFlightTable table)
      : memory_(std::move(memory)), table_(std::move(table)) {}
  absl::Status AddQueue(size_t index, fs_handover::Grant::GrantedQueue granted);
  absl::StatusOr<std::optional<Taken>> NextOfLocked(uint16_t index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Rest RestLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::optional<GuestMemory> memory_ ABSL_GUARDED_BY(mutex_);  // until it comes to rest
  InFlightTable table_ ABSL_GUARDED_BY(mutex_);
  std::array<std::optional<Queue>, fs_handover::kQueues> queues_;  // set once, before any use
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_GUEST_QUEUES_H_
