// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/compressed_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::image {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<CompressedFile>> CompressedFile::Open(
    int fd, const LayerProgress& progress) {
  struct stat info {};
  const auto looked = Syscall("fstat", [&] { return ::fstat(fd, &info); });
  if (!looked.ok()) return WithReason(Reason::kHostError, "the layer's blob", looked.status());
  return std::unique_ptr<CompressedFile>(
      new CompressedFile(fd, static_cast<uint64_t>(info.st_size), progress));
}

absl::StatusOr<absl::string_view> CompressedFile::Peek() {
  if (!ready_.empty()) return ready_;
  buffer_.resize(kPieceBytes);
  const auto got = Syscall("read", [&] {
    return ::pread(fd_, buffer_.data(), buffer_.size(), static_cast<off_t>(read_));
  });
  if (!got.ok()) return WithReason(Reason::kHostError, "the layer's blob", got.status());
  read_ += static_cast<uint64_t>(*got);
  ready_ = absl::string_view(buffer_).substr(0, static_cast<size_t>(*got));
  MSB_RETURN_IF_ERROR(progress_(read_, size_));
  return ready_;
}

}  // namespace msb::image
