// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A layer's uncompressed tar, as it comes out of the file: measured, hashed and held to its limits.

#ifndef MSB_IMAGE_LAYER_LAYER_INPUT_H_
#define MSB_IMAGE_LAYER_LAYER_INPUT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/blob/digest.h"
#include "image/layer/build_layer.h"
#include "image/layer/compressed_file.h"
#include "image/layer/decompressor.h"
#include "image/tar/byte_source.h"

namespace msb::image {

class LayerInput final : public ByteSource {
 public:
  // `fd` and `progress` outlive this. Looks at the first bytes to see how they are compressed.
  static absl::StatusOr<std::unique_ptr<LayerInput>> Open(int fd, const LayerLimits& limits,
                                                          const LayerProgress& progress);

  absl::StatusOr<absl::string_view> Read(size_t max_bytes) override;

  // What comes behind the tar's end belongs to it too. Once, at the end.
  absl::StatusOr<Digest> ReadToEnd();
  uint64_t tar_bytes() const { return tar_bytes_; }

 private:
  LayerInput(std::unique_ptr<CompressedFile> file, const LayerLimits& limits);
  absl::Status Fill();

  const LayerLimits limits_;
  const std::unique_ptr<CompressedFile> file_;
  std::unique_ptr<Decompressor> decompressor_;
  std::string buffer_;
  absl::string_view ready_;  // of the buffer: not yet read
  uint64_t tar_bytes_ = 0;   // that were ever in the buffer
  Sha256 hash_;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_LAYER_LAYER_INPUT_H_
