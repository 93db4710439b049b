// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/packet/wire.h"

#include <bit>

namespace msb::net {

// Summed in the byte order of the machine, four bytes at a time; the sum is turned round at the
// end, which gives the same (RFC 1071, section 2).
void Checksum::Add(Bytes part) {
  static_assert(std::endian::native == std::endian::little);
  const uint8_t* at = part.data();
  size_t left = part.size();
  uint64_t a = 0;
  uint64_t b = 0;
  for (; left >= 16; at += 16, left -= 16) {
    uint32_t words[4];
    std::memcpy(words, at, sizeof(words));
    a += uint64_t{words[0]} + words[1];
    b += uint64_t{words[2]} + words[3];
  }
  uint8_t tail[16] = {};
  if (left > 0) std::memcpy(tail, at, left);
  uint32_t words[4];
  std::memcpy(words, tail, sizeof(words));
  a += b;
  a += uint64_t{words[0]} + words[1] + words[2] + words[3];
  while (a >> 16 != 0) a = (a & 0xffff) + (a >> 16);
  sum_ += static_cast<uint16_t>(a >> 8 | a << 8);
}

uint16_t Checksum::Fold() const {
  uint64_t sum = sum_;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace msb::net
