// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The fields of a header block.

#ifndef MSB_IMAGE_TAR_HEADER_FIELDS_H_
#define MSB_IMAGE_TAR_HEADER_FIELDS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/erofs/attributes.h"

namespace msb::image::tar {

struct HeaderFields {
  char type = 0;
  std::string name;  // with ustar's prefix
  std::string link;
  uint16_t permissions = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  uint64_t size = 0;
  FileTime mtime;
  int64_t dev_major = 0;
  int64_t dev_minor = 0;
};

// `block`: 512 bytes. kImageInvalid, also for a wrong checksum.
absl::StatusOr<HeaderFields> ParseHeader(absl::string_view block);

}  // namespace msb::image::tar

#endif  // MSB_IMAGE_TAR_HEADER_FIELDS_H_
