// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/archive_stream.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::image {
namespace {

constexpr size_t kPieceBytes = size_t{256} << 10;
constexpr uint64_t kMaxPaddingBytes = 16 * kMiB;
// What may come out of the first bytes of a compressed archive, whatever the ratio.
constexpr uint64_t kFreeBytes = 16 * kMiB;

}  // namespace

absl::Status ArchiveStream::FillInput() {
  input_.resize(kPieceBytes);
  rest_ = {};
  return ReadMore().status();
}

// Behind the rest, which begins where the input does. False at the file's end.
absl::StatusOr<bool> ArchiveStream::ReadMore() {
  const size_t had = rest_.size();
  const auto got = Syscall(
      "read", [&] { return ::read(file_.get(), input_.data() + had, input_.size() - had); });
  if (!got.ok()) return WithReason(Reason::kHostError, "reading the archive", got.status());
  taken_ += static_cast<uint64_t>(*got);
  rest_ = absl::string_view(input_).substr(0, had + static_cast<size_t>(*got));
  return *got > 0;
}

// A pipe may give the first bytes one by one.
absl::Status ArchiveStream::FindDecompressor() {
  input_.resize(kPieceBytes);
  bool more = true;
  while (more && rest_.size() < Decompressor::kMagicBytes) {
    MSB_ASSIGN_OR_RETURN(more, ReadMore());
  }
  MSB_ASSIGN_OR_RETURN(decompressor_, Decompressor::For(rest_));
  return absl::OkStatus();
}

// Until there is something, or the file has ended where it may.
absl::Status ArchiveStream::FillOutput() {
  output_.resize(kPieceBytes);
  while (ready_.empty()) {
    if (!decompressor_) MSB_RETURN_IF_ERROR(FindDecompressor());
    if (rest_.empty()) MSB_RETURN_IF_ERROR(FillInput());
    if (rest_.empty() && decompressor_->AtEnd()) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(const Decompressor::Step step,
                         decompressor_->Decompress(rest_, absl::MakeSpan(output_)));
    if (rest_.empty() && step.made == 0) {
      return MakeError(Reason::kImageInvalid, "the archive's compressed data is cut short");
    }
    rest_.remove_prefix(step.taken);
    made_ += step.made;
    if (made_ > kFreeBytes && made_ / max_ratio_ > taken_) {
      return MakeError(Reason::kImageTooLarge,
                       absl::StrCat("the archive unpacks to more than ", max_ratio_,
                                    " times its size (images.max_compression_ratio)"));
    }
    ready_ = absl::string_view(output_).substr(0, step.made);
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> ArchiveStream::Read(size_t max_bytes) {
  if (ready_.empty()) MSB_RETURN_IF_ERROR(FillOutput());
  const absl::string_view piece = ready_.substr(0, max_bytes);
  ready_.remove_prefix(piece.size());
  return piece;
}

void ArchiveStream::Drain() {
  const uint64_t enough = taken_ + kMaxPaddingBytes;
  while (taken_ < enough && FillInput().ok() && !rest_.empty()) {
  }
}

}  // namespace msb::image
