// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A tar, plain or compressed with gzip or zstd, read once from its beginning: a pipe will do.

#ifndef MSB_IMAGE_ARCHIVE_TAR_READER_H_
#define MSB_IMAGE_ARCHIVE_TAR_READER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

struct archive;

namespace msb::image {

struct TarEntry {
  enum class Kind { kFile, kDirectory, kSymlink, kHardLink, kOther };
  Kind kind = Kind::kOther;
  std::string name;    // as it stands there; empty when it cannot be shown
  std::string target;  // of a link
  uint64_t size = 0;   // of a file
};

// For one thread. kImageInvalid for what is no tar or breaks off.
class TarReader {
 public:
  explicit TarReader(UniqueFd file);
  ~TarReader();
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // nullopt behind the last one. What is left of the one before is skipped.
  absl::StatusOr<std::optional<TarEntry>> Next();
  // Of the entry at hand; 0 at its end. Holes are zeroes.
  absl::StatusOr<size_t> Read(absl::Span<char> buffer);

  // Bytes taken from the file.
  uint64_t taken_bytes() const;
  // Bytes of the tar that have come out of them.
  uint64_t tar_bytes() const;

  // Reads what stands behind the archive, so that whoever fills the pipe comes to its end; no more
  // than some padding.
  void Drain();

 private:
  struct Input;
  absl::Status Failure() const;

  std::unique_ptr<Input> input_;
  struct archive* archive_ = nullptr;
  bool opened_ = false;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_TAR_READER_H_
