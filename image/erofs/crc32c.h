// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_IMAGE_EROFS_CRC32C_H_
#define MSB_IMAGE_EROFS_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace msb::image {

// Castagnoli's CRC as the kernel's crc32c(~0, bytes) has it: not inverted at the end. For one block
// a file system: a table would be filled for longer than it is used.
constexpr uint32_t Crc32c(absl::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82f63b78 & (0u - (crc & 1)));
  }
  return crc;
}
// RFC 3720, B.4: 32 bytes of zeroes; inverted there.
static_assert(~Crc32c({"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32}) ==
              0x8a9136aa);

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_CRC32C_H_
