// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What an inode has beside its content.

#ifndef MSB_IMAGE_EROFS_ATTRIBUTES_H_
#define MSB_IMAGE_EROFS_ATTRIBUTES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace msb::image {

struct Xattr {
  std::string name;  // with its prefix: "security.capability"
  std::string value;

  bool operator==(const Xattr&) const = default;
};

struct FileTime {
  int64_t seconds = 0;  // since 1970
  uint32_t nanoseconds = 0;

  bool operator==(const FileTime&) const = default;
};

struct Attributes {
  uint16_t permissions = 0;  // the lowest 12 bits of a mode
  uint32_t uid = 0;
  uint32_t gid = 0;
  FileTime mtime;
  std::vector<Xattr> xattrs;  // each name once
};

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_ATTRIBUTES_H_
