// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_IMAGE_TAR_BYTE_SOURCE_H_
#define MSB_IMAGE_TAR_BYTE_SOURCE_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::image {

// Bytes that come once, front to back.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next bytes: 1 to `max_bytes`, or none at the end. Valid until the next call.
  virtual absl::StatusOr<absl::string_view> Read(size_t max_bytes) = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_TAR_BYTE_SOURCE_H_
