// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The names of a file system that is being written. What they stand for has been written already,
// but for the directories: those come last, when all that is in them is known.

#ifndef MSB_IMAGE_EROFS_TREE_H_
#define MSB_IMAGE_EROFS_TREE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "absl/container/btree_map.h"
#include "image/erofs/attributes.h"
#include "image/erofs/format.h"

namespace msb::image {

struct Directory;

// An inode that ErofsWriter has written.
struct InodeRef {
  uint32_t index = 0;
  erofs::FileType type = erofs::FileType::kRegular;
};

using Node = std::variant<InodeRef, std::unique_ptr<Directory>>;

struct Directory {
  Attributes attributes;
  // Compared byte by byte, as EROFS wants them. None is empty, "." or "..", has a '/' or NUL or
  // more than 255 bytes.
  absl::btree_map<std::string, Node> children;

  // Where DirectoryArea puts it.
  struct Place {
    uint64_t offset = 0;  // of its inode
    uint64_t first_block = 0;
    uint64_t size = 0;
    bool inline_tail = false;
  };
  Place place;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_TREE_H_
