// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The last bytes of an endless stream, addressed by their offset from its start.
//
// Memory grows with what was written, up to the limit, so that the many commands that say little
// cost little; from then on the oldest bytes are overwritten. Not thread-safe.

#ifndef MSB_GUEST_AGENT_EXEC_OUTPUT_RING_H_
#define MSB_GUEST_AGENT_EXEC_OUTPUT_RING_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace msb {

class OutputRing {
 public:
  // A span of the ring: at most two pieces, the second behind the wrap.
  struct Span {
    iovec pieces[2];
    int count = 0;
    size_t size = 0;
  };

  // `limit`: most bytes kept, at least 1.
  explicit OutputRing(size_t limit) : limit_(limit) {}

  // Offset of the oldest byte that is kept, and of the next to be written.
  uint64_t begin() const { return end_ > limit_ ? end_ - limit_ : 0; }
  uint64_t end() const { return end_; }
  size_t limit() const { return limit_; }
  size_t memory_bytes() const { return capacity_; }

  // Where the next bytes go: room for 1..`wanted` of them (`wanted` is 1..limit). They overwrite
  // the oldest, so a caller that must not lose any keeps `wanted` within limit - (end - oldest
  // unread).
  Span Reserve(size_t wanted);
  // `written` bytes were put where Reserve said.
  void Commit(size_t written) { end_ += written; }

  // The bytes [offset, offset + size), all of them within begin()..end().
  Span Read(uint64_t offset, size_t size) const;

 private:
  void Grow();
  Span At(uint64_t offset, size_t size) const;

  size_t limit_;
  size_t capacity_ = 0;
  uint64_t end_ = 0;
  std::unique_ptr<char[]> memory_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_OUTPUT_RING_H_
