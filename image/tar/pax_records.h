// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a pax extended header says of the entry behind it.

#ifndef MSB_IMAGE_TAR_PAX_RECORDS_H_
#define MSB_IMAGE_TAR_PAX_RECORDS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/erofs/attributes.h"

namespace msb::image::tar {

struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link_path;
  std::optional<uint64_t> size;
  std::optional<uint64_t> uid;
  std::optional<uint64_t> gid;
  std::optional<FileTime> mtime;
  std::vector<Xattr> xattrs;  // SCHILY.xattr.*

  // GNU.sparse.*
  std::string sparse_major;
  std::string sparse_minor;
  std::optional<std::string> sparse_name;
  std::optional<uint64_t> sparse_size;  // "size" or "realsize"
  std::string sparse_map;               // of 0.1; of 0.0, whose pairs are joined to it
};

// kImageInvalid.
absl::StatusOr<PaxRecords> ParsePaxRecords(absl::string_view records);

}  // namespace msb::image::tar

#endif  // MSB_IMAGE_TAR_PAX_RECORDS_H_
