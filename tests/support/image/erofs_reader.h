// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads an EROFS file as the kernel would and believes none of it: for tests and fuzzers of what
// writes one.

#ifndef MSB_TESTS_SUPPORT_IMAGE_EROFS_READER_H_
#define MSB_TESTS_SUPPORT_IMAGE_EROFS_READER_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/erofs/attributes.h"
#include "image/erofs/format.h"

namespace msb::image {

struct ReadInode {
  uint64_t nid = 0;
  uint16_t mode = 0;
  uint32_t links = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  uint32_t device = 0;  // as the kernel encodes it
  FileTime mtime;
  bool compact = false;
  erofs::Layout layout = erofs::Layout::kPlain;
  std::map<std::string, std::string> xattrs;
  std::string content;      // of files up to 16 MiB, and of symbolic links
  uint64_t hole_bytes = 0;  // of a chunked file
};

// By path, "" for the root. An error names what breaks the format or contradicts itself: checksum,
// ranges, order of names, "." and "..", counts of links and inodes, inline data across blocks.
absl::StatusOr<std::map<std::string, ReadInode>> ReadErofs(absl::string_view file);

}  // namespace msb::image

#endif  // MSB_TESTS_SUPPORT_IMAGE_EROFS_READER_H_
