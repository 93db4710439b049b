// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A tar (POSIX ustar) that says nothing of when and by whom it was made: the same files make the
// same bytes.

#ifndef MSB_IMAGE_ARCHIVE_TAR_WRITER_H_
#define MSB_IMAGE_ARCHIVE_TAR_WRITER_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb::image {

// For one thread. An error of the file (a reader of a pipe that has gone away, a full disk) is
// kHostError or kNoSpace; the archive is then of no use.
class TarWriter {
 public:
  explicit TarWriter(UniqueFd file) : file_(std::move(file)) {}

  // Names have at most 99 bytes.
  absl::Status AddDirectory(absl::string_view name);
  // Append then gives exactly `size` bytes, before anything else is added.
  absl::Status BeginFile(absl::string_view name, uint64_t size);
  absl::Status Append(absl::string_view bytes);
  // The end of the archive.
  absl::Status Finish();

  uint64_t written_bytes() const { return written_; }

 private:
  absl::Status AddHeader(absl::string_view name, uint32_t mode, char type, uint64_t size);
  absl::Status Write(absl::string_view bytes);

  const UniqueFd file_;
  uint64_t written_ = 0;
  uint64_t left_ = 0;  // of the file at hand
};

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_TAR_WRITER_H_
