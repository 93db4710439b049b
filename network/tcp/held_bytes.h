// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Bytes that wait for a socket to take them, first in, first out. What was taken gives its memory
// back also while something waits: a slow host never lets it run empty, for hours perhaps.

#ifndef MSB_NETWORK_TCP_HELD_BYTES_H_
#define MSB_NETWORK_TCP_HELD_BYTES_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "network/packet/wire.h"

namespace msb::net {

class HeldBytes {
 public:
  void Append(Bytes bytes) {
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  // At most size().
  void Take(size_t count) {
    taken_ += count;
    if (taken_ == bytes_.size()) {
      std::string().swap(bytes_);
      taken_ = 0;
    } else if (taken_ >= size()) {
      // Moves no more than was taken since the last time, so a byte moves once on average; and into
      // memory of its own, since a string keeps what it once had.
      std::string(waiting()).swap(bytes_);
      taken_ = 0;
    }
  }

  absl::string_view waiting() const { return absl::string_view(bytes_).substr(taken_); }
  size_t size() const { return bytes_.size() - taken_; }
  bool empty() const { return bytes_.empty(); }
  // Of the memory in use: at most four times what waits, but for some bytes.
  size_t capacity() const { return bytes_.capacity(); }

 private:
  std::string bytes_;
  size_t taken_ = 0;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_TCP_HELD_BYTES_H_
