// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Fills the driver's receive buffers.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_RX_BATCH_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_RX_BATCH_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "vmm/devices/virtio/virtqueue.h"
#include "vmm/devices/virtio/vsock/packet.h"

namespace msb {

// Takes buffers from the queue, several at a time, so that one read of a host socket can fill them
// all. Errors are the guest's: a buffer that cannot hold a header and a byte.
class RxBatch {
 public:
  explicit RxBatch(Virtqueue& queue) : queue_(queue) {}
  RxBatch(const RxBatch&) = delete;
  RxBatch& operator=(const RxBatch&) = delete;

  // Whether the driver has left a buffer. Ask before each of the calls below.
  absl::StatusOr<bool> HasRoom() { return queue_.HasNext(); }

  // A packet without payload.
  absl::Status WritePacket(const virtio::VsockHeader& header);

  // Room behind the headers of as many buffers as it takes for `goal` bytes of payload, or as many
  // as there are: those buffers whole, but not more than `limit` (at least `goal`, which is at
  // least 1). Never empty. To be followed by Commit.
  absl::StatusOr<absl::Span<const iovec>> Reserve(size_t goal, size_t limit);
  // The first `bytes` of the room were filled: makes them packets with `header`, whose length is
  // set for each, and gives unused buffers back. Returns the number of packets.
  absl::StatusOr<size_t> Commit(virtio::VsockHeader header, size_t bytes);

 private:
  absl::StatusOr<DescriptorChain> PopBuffer();

  struct Reserved {
    DescriptorChain chain;
    size_t room;  // bytes of payload that were offered
  };
  Virtqueue& queue_;
  absl::InlinedVector<Reserved, 4> reserved_;
  Iovecs room_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_RX_BATCH_H_
