// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// gzip, zstd, or nothing.

#ifndef MSB_IMAGE_LAYER_DECOMPRESSOR_H_
#define MSB_IMAGE_LAYER_DECOMPRESSOR_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace msb::image {

class Decompressor {
 public:
  struct Step {
    size_t taken = 0;  // of the input
    size_t made = 0;   // of the output
  };

  virtual ~Decompressor() = default;
  // Takes and makes what it can; `output` is not empty. Without input it makes what is left of what
  // it has taken: nothing, when the input may not end here. kImageInvalid for what is not of this
  // format.
  virtual absl::StatusOr<Step> Decompress(absl::string_view input, absl::Span<char> output) = 0;
  // Whether the input may end here.
  virtual bool AtEnd() const = 0;

  // As many of a file's first bytes as say what it is.
  static constexpr size_t kMagicBytes = 6;
  // By the first bytes of a file: kMagicBytes, or all when it has fewer. kImageUnsupported
  // for a format that is known and not read.
  static absl::StatusOr<std::unique_ptr<Decompressor>> For(absl::string_view beginning);
};

}  // namespace msb::image

#endif  // MSB_IMAGE_LAYER_DECOMPRESSOR_H_
