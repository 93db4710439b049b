// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/byte_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace msb {
namespace {

constexpr size_t kFirstCapacity = 4096;

}  // namespace

void ByteQueue::Append(absl::Span<const iovec> pieces, size_t skip) {
  size_t total = 0;
  for (const iovec& piece : pieces) total += piece.iov_len;
  MSB_CHECK(skip <= total && total - skip <= max_bytes_ - size_);
  const size_t needed = size_ + total - skip;
  if (needed > capacity_) {
    Grow(std::min(max_bytes_, std::max({needed, 2 * capacity_, kFirstCapacity})));
  }
  for (const iovec& piece : pieces) {
    const size_t skipped = std::min(skip, piece.iov_len);
    skip -= skipped;
    AppendPiece(static_cast<const uint8_t*>(piece.iov_base) + skipped, piece.iov_len - skipped);
  }
}

void ByteQueue::AppendPiece(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const size_t tail = (head_ + size_) % capacity_;
  const size_t to_end = std::min(size, capacity_ - tail);
  std::memcpy(store_.get() + tail, data, to_end);
  std::memcpy(store_.get(), data + to_end, size - to_end);
  size_ += size;
}

std::array<iovec, 2> ByteQueue::Front() const {
  const size_t to_end = std::min(size_, capacity_ - head_);
  return {iovec{.iov_base = store_.get() + head_, .iov_len = to_end},
          iovec{.iov_base = store_.get(), .iov_len = size_ - to_end}};
}

void ByteQueue::Consume(size_t bytes) {
  MSB_CHECK(bytes <= size_);
  size_ -= bytes;
  if (size_ > 0) {
    head_ = (head_ + bytes) % capacity_;
    return;
  }
  store_.reset();
  capacity_ = 0;
  head_ = 0;
}

void ByteQueue::Grow(size_t capacity) {
  auto larger = std::make_unique_for_overwrite<uint8_t[]>(capacity);
  size_t copied = 0;
  for (const iovec& piece : Front()) {
    if (piece.iov_len == 0) continue;
    std::memcpy(larger.get() + copied, piece.iov_base, piece.iov_len);
    copied += piece.iov_len;
  }
  store_ = std::move(larger);
  capacity_ = capacity;
  head_ = 0;
}

}  // namespace msb
