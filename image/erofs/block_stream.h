// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The file that is written, front to back, in large steps. What is zero stays a hole of it.

#ifndef MSB_IMAGE_EROFS_BLOCK_STREAM_H_
#define MSB_IMAGE_EROFS_BLOCK_STREAM_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "image/byte_limit.h"
#include "image/erofs/format.h"

namespace msb::image {

class BlockStream {
 public:
  // Begins behind block 0, which is written by WriteAt. Ends at `limit`, or that of the format.
  BlockStream(int fd, const ByteLimit& limit);

  uint64_t position() const { return buffer_start_ + buffer_.size(); }
  // At the beginning of a block alone.
  uint32_t block() const { return static_cast<uint32_t>(position() >> erofs::kBlockBits); }

  // The limit's reason beyond it, kNoSpace for a full disk, kHostError.
  absl::Status Append(absl::string_view bytes);
  absl::Status AppendZeros(uint64_t count);
  absl::Status FillBlock();

  // Writes what is buffered, and gives the file its size.
  absl::Status Finish();
  // Somewhere in front of what is buffered.
  absl::Status WriteAt(uint64_t offset, absl::string_view bytes);

 private:
  absl::Status Flush();
  absl::Status CheckRoom(uint64_t count) const;

  const int fd_;
  const ByteLimit limit_;
  uint64_t buffer_start_ = erofs::kBlockBytes;
  std::string buffer_;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_BLOCK_STREAM_H_
