// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Numbers in network byte order at any address, and the Internet checksum.

#ifndef MSB_NETWORK_PACKET_WIRE_H_
#define MSB_NETWORK_PACKET_WIRE_H_

#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace msb::net {

using Bytes = absl::Span<const uint8_t>;

inline uint16_t Load16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }
inline uint32_t Load32(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
}
inline void Store16(uint32_t value, uint8_t* at) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
inline void Store32(uint32_t value, uint8_t* at) {
  Store16(value >> 16, at);
  Store16(value & 0xffff, at + 2);
}

// RFC 1071. Parts are added in order; every part but the last has an even length.
class Checksum {
 public:
  void Add(Bytes part);
  void AddWord(uint16_t word) { sum_ += word; }
  // As it is stored in the header (by Store16).
  uint16_t Fold() const;

 private:
  uint64_t sum_ = 0;  // of words in network order
};

}  // namespace msb::net

#endif  // MSB_NETWORK_PACKET_WIRE_H_
