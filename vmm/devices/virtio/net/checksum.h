// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The Internet checksum (RFC 1071) of bytes that come in parts.

#ifndef MSB_VMM_DEVICES_VIRTIO_NET_CHECKSUM_H_
#define MSB_VMM_DEVICES_VIRTIO_NET_CHECKSUM_H_

#include <bit>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace msb {

class ChecksumAdder {
 public:
  // The parts are one run of bytes; only the last may be empty without meaning.
  void Add(absl::Span<const uint8_t> part) {
    uint64_t sum = 0;
    size_t i = 0;
    for (; i + 4 <= part.size(); i += 4) {
      uint32_t word;
      std::memcpy(&word, part.data() + i, sizeof(word));
      sum += word;
    }
    uint32_t tail = 0;
    if (i < part.size()) std::memcpy(&tail, part.data() + i, part.size() - i);
    const uint16_t folded = FoldSum(sum + tail);
    // Behind an odd number of bytes each byte is in the other half of its word (RFC 1071, 2.B).
    sum_ += odd_ ? std::rotl(folded, 8) : folded;
    odd_ ^= (part.size() & 1) != 0;
  }

  // The complement, in the byte order of memory: to be stored as it is.
  uint16_t Fold() const { return static_cast<uint16_t>(~FoldSum(sum_)); }

 private:
  static uint16_t FoldSum(uint64_t sum) {
    while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
  }

  uint64_t sum_ = 0;
  bool odd_ = false;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_NET_CHECKSUM_H_
