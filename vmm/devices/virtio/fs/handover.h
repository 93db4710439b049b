// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the VMM and the file server say to each other, over the stream socket that they share: the
// VMM hands over the queues of its virtio-fs device, and takes them back. Both ends are ours and of
// one version; each takes what the other says as hostile.
//
//   VMM -> server  kServe   with descriptors: each region of memory, the table of requests under
//                           way (in_flight_table.h), then of each queue its kick and its call
//                  kStop    no more requests are to be taken; those under way are finished
//   server -> VMM  kStopped the memory is unmapped, and this is where the queues are
//                  kBroken  the guest broke the rules, nothing more is served; kStop is to follow
//
// Between kServe and kStopped the queues are the server's alone. The end of the stream is the end
// of either: the VMM then recovers the queues by the table.

#ifndef MSB_VMM_DEVICES_VIRTIO_FS_HANDOVER_H_
#define MSB_VMM_DEVICES_VIRTIO_FS_HANDOVER_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/virtqueue.h"
#include "vmm/memory/guest_memory.h"

namespace msb::fs_handover {

static_assert(std::endian::native == std::endian::little, "the messages are little-endian");

// What QEMU shares at most (vhost-user); our own machine has two.
inline constexpr size_t kMaxRegions = 8;
inline constexpr size_t kQueues = 2;
// QEMU offers a driver so many, whatever the device has (vhost_user/spec.h).
inline constexpr uint16_t kMaxQueueSize = 1024;

enum class OrderKind : uint32_t { kServe = 1, kStop = 2 };
enum class AnswerKind : uint32_t { kStopped = 1, kBroken = 2 };

struct Region {
  uint64_t guest_address;
  uint64_t bytes;
  uint64_t file_offset;
};

struct Queue {
  uint64_t descriptor_table;
  uint64_t driver_area;
  uint64_t device_area;
  uint16_t size;            // 0: there is no such queue, or it stands still
  uint16_t next_available;  // and next used: nothing is under way
  uint16_t event_index;     // 0 or 1
  uint16_t has_call;        // 0 or 1; without one the driver polls
};

// VMM to server. Of kStop only `kind` counts.
struct Order {
  OrderKind kind;
  uint32_t region_count;
  Region regions[kMaxRegions];
  Queue queues[kQueues];
};
static_assert(sizeof(Order) == 8 + 24 * kMaxRegions + 32 * kQueues);

// Server to VMM. Of kBroken only `kind` counts.
struct Answer {
  AnswerKind kind;
  struct Position {
    uint16_t next_available;
    uint16_t next_used;
  } positions[kQueues];
};
static_assert(sizeof(Answer) == 4 + 4 * kQueues);

// The VMM's half: `queues` are the device's, null where there is none; those that are suspended
// stay with it. `table` is the descriptor of the table. kHostError when memory is not of files.
absl::Status SendServe(int socket, absl::Span<Virtqueue* const> queues, int table);
absl::Status SendStop(int socket);

// The server's half. Blocks for the rest of an order that has begun to arrive. nullopt at the end
// of the stream. kFrameMalformed for what is no order.
struct ReceivedOrder {
  Order order;
  std::vector<UniqueFd> descriptors;
};
absl::StatusOr<std::optional<ReceivedOrder>> ReceiveOrder(int socket);

// An order to serve as the server goes by it: numbers checked, descriptors in their places.
struct Grant {
  struct GrantedQueue {
    VirtqueueLayout layout;
    uint16_t position = 0;
    bool event_index = false;
    UniqueFd kick;
    UniqueFd call;  // invalid: there is none
  };
  std::vector<GuestMemory::FilePart> memory;
  UniqueFd table;
  std::array<std::optional<GrantedQueue>, kQueues> queues;
};
absl::StatusOr<Grant> CheckServe(ReceivedOrder received);

}  // namespace msb::fs_handover

#endif  // MSB_VMM_DEVICES_VIRTIO_FS_HANDOVER_H_
