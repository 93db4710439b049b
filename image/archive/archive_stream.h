// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The tar in an archive's file, plain or compressed with gzip or zstd, read once from its
// beginning: a pipe will do.

#ifndef MSB_IMAGE_ARCHIVE_ARCHIVE_STREAM_H_
#define MSB_IMAGE_ARCHIVE_ARCHIVE_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "image/layer/decompressor.h"
#include "image/limits.h"
#include "image/tar/byte_source.h"

namespace msb::image {

// For one thread.
class ArchiveStream final : public ByteSource {
 public:
  ArchiveStream(UniqueFd file, const Limits& limits)
      : file_(std::move(file)), max_ratio_(limits.max_compression_ratio) {}

  // kImageInvalid for compressed data that is damaged or breaks off, kImageTooLarge for a bomb.
  absl::StatusOr<absl::string_view> Read(size_t max_bytes) override;

  // Bytes taken from the file.
  uint64_t taken_bytes() const { return taken_; }

  // Reads what stands behind the archive, so that whoever fills the pipe comes to its end; no more
  // than some padding.
  void Drain();

 private:
  // The file's next bytes go where the last were, all of which are used.
  absl::Status FillInput();
  absl::StatusOr<bool> ReadMore();
  absl::Status FindDecompressor();
  absl::Status FillOutput();

  const UniqueFd file_;
  const uint64_t max_ratio_;
  std::unique_ptr<Decompressor> decompressor_;  // once the first bytes are there
  std::string input_;
  absl::string_view rest_;  // of the input: not yet decompressed
  std::string output_;
  absl::string_view ready_;  // of the output: not yet read
  uint64_t taken_ = 0;
  uint64_t made_ = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_ARCHIVE_STREAM_H_
