// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/output_ring.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace msb {
namespace {

// Below what malloc takes from mmap, so that the memory of finished commands is used again while
// its pages are still there.
constexpr size_t kFirstBytes = 16 * 1024;
// Less room than this is not worth a read: the ring grows first.
constexpr size_t kLeastRoom = 4096;

}  // namespace

OutputRing::Span OutputRing::Reserve(size_t wanted) {
  wanted = std::min(wanted, limit_);
  if (capacity_ < limit_ && capacity_ - end_ < std::min(wanted, kLeastRoom)) Grow();
  if (capacity_ < limit_) wanted = std::min<size_t>(wanted, capacity_ - end_);
  return At(end_, wanted);
}

// Only before the first wrap, while everything written lies in [0, end).
void OutputRing::Grow() {
  const size_t capacity = std::min(std::max(kFirstBytes, capacity_ * 4), limit_);
  std::unique_ptr<char[]> memory(new char[capacity]);
  if (end_ > 0) std::memcpy(memory.get(), memory_.get(), end_);
  memory_ = std::move(memory);
  capacity_ = capacity;
}

OutputRing::Span OutputRing::Read(uint64_t offset, size_t size) const {
  MSB_CHECK(offset >= begin() && offset <= end_ && size <= end_ - offset);
  return At(offset, size);
}

OutputRing::Span OutputRing::At(uint64_t offset, size_t size) const {
  Span span;
  span.size = size;
  while (size > 0) {
    const size_t position = offset % capacity_;
    const size_t piece = std::min(size, capacity_ - position);
    span.pieces[span.count++] = {.iov_base = memory_.get() + position, .iov_len = piece};
    offset += piece;
    size -= piece;
  }
  return span;
}

}  // namespace msb
