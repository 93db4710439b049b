// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_IMAGE_LAYER_COMPRESSED_FILE_H_
#define MSB_IMAGE_LAYER_COMPRESSED_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/layer/build_layer.h"

namespace msb::image {

// The file of a layer, read front to back in pieces of a MiB, each of which is progress.
class CompressedFile {
 public:
  // `fd` and `progress` outlive this. kHostError.
  static absl::StatusOr<std::unique_ptr<CompressedFile>> Open(int fd,
                                                              const LayerProgress& progress);

  // What has been read and not been taken; reads when that is nothing. Empty at the end.
  absl::StatusOr<absl::string_view> Peek();
  void Take(size_t bytes) { ready_.remove_prefix(bytes); }
  // Bytes that have been taken.
  uint64_t taken() const { return read_ - ready_.size(); }

 private:
  CompressedFile(int fd, uint64_t size, const LayerProgress& progress)
      : fd_(fd), size_(size), progress_(progress) {}

  const int fd_;
  const uint64_t size_;
  const LayerProgress& progress_;
  std::string buffer_;
  absl::string_view ready_;
  uint64_t read_ = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_LAYER_COMPRESSED_FILE_H_
