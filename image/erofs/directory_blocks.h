// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A directory's content.

#ifndef MSB_IMAGE_EROFS_DIRECTORY_BLOCKS_H_
#define MSB_IMAGE_EROFS_DIRECTORY_BLOCKS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "image/erofs/format.h"

namespace msb::image {

struct DirectoryName {
  absl::string_view name;
  uint64_t nid = 0;
  erofs::FileType type = erofs::FileType::kRegular;
};

// `names`: sorted, with "." and "..". What EncodeDirectory makes of them has this many bytes.
uint64_t DirectoryBytes(absl::Span<const DirectoryName> names);
std::string EncodeDirectory(absl::Span<const DirectoryName> names);

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_DIRECTORY_BLOCKS_H_
