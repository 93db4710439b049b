// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which requests a file server has taken out of the queues and not answered, in memory that it
// shares with the VMM: what is in there when the server dies, the VMM answers.
//
// A server may be killed between any two steps. A request counts as taken from Add on; an answer
// has two sides, the used ring's and this one, and is noted down here before it is given, so that
// whoever reads the table afterwards can tell by the ring which of the two it came to.
//
// Whoever reads it believes nothing but that a head is below the queue's size: a server that lies
// makes the VMM answer what its guest did not ask, or not answer what it did.

#ifndef MSB_VMM_DEVICES_VIRTIO_FS_IN_FLIGHT_TABLE_H_
#define MSB_VMM_DEVICES_VIRTIO_FS_IN_FLIGHT_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/fs/handover.h"

namespace msb {

class InFlightTable {
 public:
  // The VMM's: an empty one, in a file that nobody can resize.
  static absl::StatusOr<InFlightTable> Create();
  // The server's. kFrameMalformed for a file that is no table, or can be resized.
  static absl::StatusOr<InFlightTable> Map(UniqueFd file);
  InFlightTable(InFlightTable&& other) noexcept;
  InFlightTable& operator=(InFlightTable&&) = delete;
  ~InFlightTable();

  int file() const { return file_.get(); }
  void Clear();

  // Server. `head` < kMaxQueueSize. False when it is in there already.
  bool Add(size_t queue, uint16_t head);
  // Server: around putting `head` into the used ring, whose index is `next_used` before.
  void BeginAnswer(size_t queue, uint16_t head, uint16_t next_used);
  void EndAnswer(size_t queue, uint16_t head);

  // VMM, of a dead server: heads below `size` that are to be answered, where the used ring's index
  // is `published_used`.
  std::vector<uint16_t> Unanswered(size_t queue, uint16_t size, uint16_t published_used) const;

 private:
  struct QueueTable {
    std::atomic<uint32_t> answering;  // kAnswering | head << 16 | next_used; 0: none
    std::atomic<uint8_t> taken[fs_handover::kMaxQueueSize];
  };
  static constexpr uint32_t kAnswering = uint32_t{1} << 31;
  static_assert(fs_handover::kMaxQueueSize <= 1 << 15);
  static_assert(std::atomic<uint32_t>::is_always_lock_free);

  InFlightTable(UniqueFd file, QueueTable* queues) : file_(std::move(file)), queues_(queues) {}
  static absl::StatusOr<InFlightTable> MapFile(UniqueFd file);
  static constexpr size_t kBytes = fs_handover::kQueues * sizeof(QueueTable);

  UniqueFd file_;
  QueueTable* queues_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_FS_IN_FLIGHT_TABLE_H_
