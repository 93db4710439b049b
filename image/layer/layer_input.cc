// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/layer_input.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

constexpr size_t kBufferBytes = size_t{128} << 10;
// A layer of a few files is mostly zeroes, and compresses beyond any ratio.
constexpr uint64_t kFreeBytes = uint64_t{1} << 20;

absl::Status CheckAmount(uint64_t tar_bytes, uint64_t file_bytes, const LayerLimits& limits) {
  if (tar_bytes > limits.max_bytes.bytes) return limits.max_bytes.Exceeded("the layer's tar has");
  if (tar_bytes <= kFreeBytes ||
      (tar_bytes - kFreeBytes) / std::max<uint64_t>(limits.max_compression_ratio, 1) <=
          file_bytes) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kImageTooLarge,
                   absl::StrCat("the layer expands more than ", limits.max_compression_ratio,
                                " times: ", file_bytes, " bytes became ", tar_bytes,
                                " (images.max_compression_ratio)"));
}

}  // namespace

LayerInput::LayerInput(std::unique_ptr<CompressedFile> file, const LayerLimits& limits)
    : limits_(limits), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<LayerInput>> LayerInput::Open(int fd, const LayerLimits& limits,
                                                             const LayerProgress& progress) {
  MSB_ASSIGN_OR_RETURN(auto file, CompressedFile::Open(fd, progress));
  MSB_ASSIGN_OR_RETURN(const absl::string_view beginning, file->Peek());
  std::unique_ptr<LayerInput> input(new LayerInput(std::move(file), limits));
  MSB_ASSIGN_OR_RETURN(input->decompressor_, Decompressor::For(beginning));
  return input;
}

// Until there is something, or the file has ended where it may.
absl::Status LayerInput::Fill() {
  buffer_.resize(kBufferBytes);
  while (ready_.empty()) {
    MSB_ASSIGN_OR_RETURN(const absl::string_view input, file_->Peek());
    if (input.empty() && decompressor_->AtEnd()) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(const Decompressor::Step step,
                         decompressor_->Decompress(input, absl::MakeSpan(buffer_)));
    if (input.empty() && step.made == 0) {
      return MakeError(Reason::kImageInvalid, "the layer's compressed data is cut short");
    }
    file_->Take(step.taken);
    tar_bytes_ += step.made;
    MSB_RETURN_IF_ERROR(CheckAmount(tar_bytes_, file_->taken(), limits_));
    ready_ = absl::string_view(buffer_).substr(0, step.made);
    hash_.Update(ready_);
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> LayerInput::Read(size_t max_bytes) {
  if (ready_.empty()) MSB_RETURN_IF_ERROR(Fill());
  const absl::string_view piece = ready_.substr(0, max_bytes);
  ready_.remove_prefix(piece.size());
  return piece;
}

absl::StatusOr<Digest> LayerInput::ReadToEnd() {
  ready_ = {};
  while (true) {
    MSB_RETURN_IF_ERROR(Fill());
    if (ready_.empty()) return hash_.Finish();
    ready_ = {};
  }
}

}  // namespace msb::image
