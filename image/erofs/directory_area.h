// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The directories at the end of a file system: first the whole blocks of their contents, then their
// inodes. Each names others, so all get their places before the first is written.

#ifndef MSB_IMAGE_EROFS_DIRECTORY_AREA_H_
#define MSB_IMAGE_EROFS_DIRECTORY_AREA_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/erofs/block_stream.h"
#include "image/erofs/directory_blocks.h"
#include "image/erofs/inode_image.h"
#include "image/erofs/tree.h"

namespace msb::image {

// The root's number has 16 bits in the super block: its inode stands behind that, in block 0.
inline constexpr uint64_t kRootOffset = erofs::kSuperOffset + sizeof(erofs::SuperBlock);

class DirectoryArea {
 public:
  using NidOf = std::function<uint64_t(const InodeRef&)>;

  // `stream` stands at the beginning of a block.
  DirectoryArea(BlockStream& stream, FileTime build_time, NidOf nid_of)
      : stream_(stream), build_time_(build_time), nid_of_(std::move(nid_of)) {}

  // Writes all directories but the inode of `root`, which it returns for kRootOffset of the file.
  absl::StatusOr<std::string> Write(Directory& root);
  // Of directories, after Write.
  uint64_t count() const { return count_; }

 private:
  absl::Status PlaceRoot(Directory& root);
  absl::Status PlaceChildren(Directory& parent);
  absl::Status Place(Directory& directory);
  void Shift(Directory& parent, uint64_t first_block, uint64_t inodes_start);
  absl::Status WriteBlocks(const Directory& directory, const Directory& parent);
  absl::Status WriteInodes(const Directory& parent);
  absl::StatusOr<std::string> Encode(const Directory& directory, const Directory& parent);
  absl::StatusOr<InodeShape> ShapeOf(const Directory& directory) const;
  std::vector<DirectoryName> NamesOf(const Directory& directory, const Directory& parent) const;

  BlockStream& stream_;
  const FileTime build_time_;
  const NidOf nid_of_;
  uint64_t blocks_ = 0;        // that contents take
  uint64_t inodes_bytes_ = 0;  // that inodes take
  uint64_t count_ = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_DIRECTORY_AREA_H_
