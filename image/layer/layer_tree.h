// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The tree that a layer's entries make, in whatever order they come.

#ifndef MSB_IMAGE_LAYER_LAYER_TREE_H_
#define MSB_IMAGE_LAYER_LAYER_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "image/erofs/erofs_writer.h"
#include "image/erofs/tree.h"

namespace msb::image {

class LayerTree {
 public:
  using Path = absl::Span<const std::string>;

  explicit LayerTree(uint64_t max_entries);

  // The directory that `path` is to stand in. Makes what is missing of it: mode 0755, root's, 1970.
  // kImageInvalid when something else than a directory is in the way: no entry of a layer leads
  // through a symbolic link.
  absl::StatusOr<Directory*> ParentOf(Path path);

  // Below take the place of what this layer had there before, a directory with all that is in it.
  // A directory takes the place of a directory by its attributes alone, and of a whiteout by being
  // opaque: what lower layers have there stays hidden.
  absl::Status PutDirectory(Path path, Attributes attributes);
  absl::Status PutInode(Path path, InodeRef inode);

  // Whether a whiteout of `path` needs an inode. It hides what lower layers have, not what this one
  // has: an own directory becomes opaque, and anything else of its own hides by being there.
  absl::StatusOr<bool> NeedsWhiteout(Path path);
  absl::Status PutWhiteout(Path path, InodeRef inode);
  absl::Status MakeOpaque(Path directory);

  // What a hard link may lead to: neither a directory nor a whiteout. kImageInvalid.
  absl::StatusOr<InodeRef> LinkTarget(Path path) const;

  Directory& root() { return root_; }
  // Names, the root among them.
  uint64_t entries() const;

 private:
  absl::StatusOr<Directory*> Enter(Directory& parent, const std::string& name);
  absl::Status Count();
  bool IsWhiteout(const Node& node) const;

  const uint64_t max_entries_;
  uint64_t made_ = 0;  // names, also of what was replaced
  uint64_t kept_xattr_bytes_ = 0;
  Directory root_;
  absl::flat_hash_set<uint32_t> whiteouts_;  // inodes
};

}  // namespace msb::image

#endif  // MSB_IMAGE_LAYER_LAYER_TREE_H_
