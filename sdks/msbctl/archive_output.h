// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Where an archive is written to.

#ifndef MSB_SDKS_MSBCTL_ARCHIVE_OUTPUT_H_
#define MSB_SDKS_MSBCTL_ARCHIVE_OUTPUT_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

// A file appears as a whole, in the place of one that was there, or not at all: half an archive
// helps nobody, and what was there before may be a backup. A pipe, a device or standard output
// takes the bytes as they come, and stays what it is.
class ArchiveOutput {
 public:
  // Standard output for "-" and "". kInvalidArgument when it cannot be written to.
  static absl::StatusOr<ArchiveOutput> Open(const std::string& path);

  ArchiveOutput(ArchiveOutput&& other) noexcept
      : fd_(std::move(other.fd_)),
        path_(std::move(other.path_)),
        unfinished_(std::exchange(other.unfinished_, "")) {}
  ArchiveOutput& operator=(ArchiveOutput&&) = delete;
  // Without Finish: as if there had been no archive.
  ~ArchiveOutput();

  absl::Status Write(absl::string_view bytes);
  // Once, behind the last bytes.
  absl::Status Finish();

 private:
  ArchiveOutput() = default;

  UniqueFd fd_;
  std::string path_;        // the file in the end; links are followed
  std::string unfinished_;  // beside it, until Finish; empty for what is no file
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_ARCHIVE_OUTPUT_H_
