// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Bytes from the guest that wait for a slow reader on the host.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_BYTE_QUEUE_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_BYTE_QUEUE_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"

namespace msb {

// First in, first out, at most `max_bytes`. Holds no memory while it is empty, which is nearly
// always.
class ByteQueue {
 public:
  explicit ByteQueue(size_t max_bytes) : max_bytes_(max_bytes) {}

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Appends a copy of `pieces` without their first `skip` bytes. The caller has checked that it
  // fits.
  void Append(absl::Span<const iovec> pieces, size_t skip);
  // All the bytes, in order; the second piece is empty unless they lie across the end of the store.
  std::array<iovec, 2> Front() const;
  // Drops the first `bytes` of size().
  void Consume(size_t bytes);
  void Clear() { Consume(size_); }

 private:
  void Grow(size_t capacity);
  void AppendPiece(const uint8_t* data, size_t size);

  const size_t max_bytes_;
  std::unique_ptr<uint8_t[]> store_;
  size_t capacity_ = 0;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_BYTE_QUEUE_H_
