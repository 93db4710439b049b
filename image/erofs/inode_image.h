// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An inode's bytes and its place among others.

#ifndef MSB_IMAGE_EROFS_INODE_IMAGE_H_
#define MSB_IMAGE_EROFS_INODE_IMAGE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "image/erofs/attributes.h"
#include "image/erofs/format.h"

namespace msb::image {

// Whether the format has a place for an attribute of this name: user., trusted., security. and the
// two of POSIX ACLs.
bool HasXattrPlace(absl::string_view name);

// Header and entries; empty without attributes. kImageTooLarge for a name, a value or all together
// beyond what the format takes, kImageInvalid for a name without a place.
absl::StatusOr<std::string> EncodeXattrs(const std::vector<Xattr>& xattrs);

struct InodeFields {
  uint16_t mode = 0;
  uint64_t size = 0;
  uint32_t links = 1;
  uint32_t place = 0;
  uint32_t number = 0;
  erofs::Layout layout = erofs::Layout::kPlain;
};

// Bytes of an inode alone: the small form where all fits into it.
uint32_t InodeBytes(const InodeFields& fields, const Attributes& attributes, FileTime build_time);
// `xattrs`: of EncodeXattrs, behind the inode.
std::string EncodeInode(const InodeFields& fields, const Attributes& attributes,
                        absl::string_view xattrs, FileTime build_time);

struct InodeShape {
  uint32_t inode_bytes = 0;
  uint64_t head_bytes = 0;  // with attributes and chunk map
  uint32_t tail_bytes = 0;  // of the content, behind its last whole block
};

struct InodePlace {
  uint64_t offset = 0;
  bool inline_tail = false;
};

// The place for an inode behind what ends at `end`. The content's rest goes inline when that wastes
// less than a block of its own would.
InodePlace PlaceInode(uint64_t end, const InodeShape& shape);

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_INODE_IMAGE_H_
