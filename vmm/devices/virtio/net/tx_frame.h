// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One frame of the guest on its way out: its head copied, the rest still in guest memory.

#ifndef MSB_VMM_DEVICES_VIRTIO_NET_TX_FRAME_H_
#define MSB_VMM_DEVICES_VIRTIO_NET_TX_FRAME_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {

class TxFrame {
 public:
  // Reads the header of `chain` and completes the checksum that it asks for. kGuestViolation for
  // what 5.1.6.2 forbids: too short or too long, writable buffers, offloads that were not offered,
  // a checksum outside of the frame.
  static absl::StatusOr<TxFrame> Read(DescriptorChain chain);

  // The bytes on the wire from `offset` on, length included, appended to `out`.
  void AppendTo(size_t offset, std::vector<iovec>& out) const;
  size_t wire_bytes() const { return head_.size() + rest_bytes_; }
  size_t buffers() const { return 1 + chain_->readable().size(); }

  // Gives the chain up, to be completed. The frame is of no more use.
  DescriptorChain TakeChain() { return *std::move(chain_); }

 private:
  TxFrame() = default;
  absl::Status CompleteChecksum(uint32_t start, uint32_t offset);

  std::optional<DescriptorChain> chain_;
  std::vector<uint8_t> head_;                    // the length, then the first bytes of the frame
  std::vector<absl::Span<const uint8_t>> rest_;  // in guest memory
  size_t rest_bytes_ = 0;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_NET_TX_FRAME_H_
