// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Bytes that stand in several pieces, as the data of a guest does in its memory: for system calls
// that read and write it there.

#ifndef MSB_FILE_SERVER_FUSE_PIECES_H_
#define MSB_FILE_SERVER_FUSE_PIECES_H_

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace msb {

class Pieces {
 public:
  void Append(absl::Span<uint8_t> piece) {
    if (!piece.empty()) pieces_.push_back({piece.data(), piece.size()});
  }
  void Append(const Pieces& others) {
    pieces_.insert(pieces_.end(), others.pieces_.begin(), others.pieces_.end());
  }
  // Of `all`, the bytes behind the first `skip`, at most `most`.
  void Append(absl::Span<const absl::Span<uint8_t>> all, size_t skip, size_t most) {
    for (absl::Span<uint8_t> piece : all) {
      const size_t skipped = std::min(skip, piece.size());
      skip -= skipped;
      piece = piece.subspan(skipped, most);
      most -= piece.size();
      Append(piece);
    }
  }

  size_t bytes() const {
    size_t sum = 0;
    for (const iovec& piece : pieces_) sum += piece.iov_len;
    return sum;
  }
  // What is behind the first `size` bytes goes.
  void Truncate(size_t size) {
    size_t kept = 0;
    for (; kept < pieces_.size() && size > 0; ++kept) {
      pieces_[kept].iov_len = std::min(pieces_[kept].iov_len, size);
      size -= pieces_[kept].iov_len;
    }
    pieces_.resize(kept);
  }
  // The first `size` bytes go.
  void RemovePrefix(size_t size) {
    size_t gone = 0;
    for (; gone < pieces_.size() && size >= pieces_[gone].iov_len; ++gone) {
      size -= pieces_[gone].iov_len;
    }
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(gone));
    if (size == 0 || pieces_.empty()) return;
    pieces_.front().iov_base = static_cast<uint8_t*>(pieces_.front().iov_base) + size;
    pieces_.front().iov_len -= size;
  }

  // For one system call: no more of them than it takes.
  const iovec* data() const { return pieces_.data(); }
  int count() const { return static_cast<int>(std::min<size_t>(pieces_.size(), IOV_MAX)); }

 private:
  absl::InlinedVector<iovec, 8> pieces_;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_FUSE_PIECES_H_
