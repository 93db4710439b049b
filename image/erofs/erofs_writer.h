// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Writes an uncompressed EROFS file front to back, as the content comes.
//
//   block 0              super block and root directory
//   then, by turns       content of files, in whole blocks
//                        a cluster of inodes with the rests of their files: about a MiB
//   at the end           directories: whole blocks, then inodes
//
// A file's content needs no second look and no memory: its size is known first. What changes later
// (the number of links) is mended in place at the end. nid 0 is the beginning of the file, so that
// inodes may be anywhere.
//
// Not thread-safe. After an error the file is of no use.

#ifndef MSB_IMAGE_EROFS_EROFS_WRITER_H_
#define MSB_IMAGE_EROFS_EROFS_WRITER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "image/erofs/attributes.h"
#include "image/erofs/block_stream.h"
#include "image/erofs/format.h"
#include "image/erofs/inode_image.h"
#include "image/erofs/tree.h"

namespace msb::image {

// A piece of a sparse file that is not a hole.
struct Extent {
  uint64_t offset = 0;
  uint64_t bytes = 0;

  bool operator==(const Extent&) const = default;
};

using Uuid = std::array<uint8_t, 16>;

class ErofsWriter {
 public:
  // `fd`: an empty regular file, kept by the caller. It grows up to `limit`.
  ErofsWriter(int fd, const ByteLimit& limit) : stream_(fd, limit) {}

  // A regular file, whose `size` bytes AppendContent brings before anything else is added.
  absl::StatusOr<InodeRef> AddFile(const Attributes& attributes, uint64_t size);
  // The content to come is that of `extents`, one after the other; they are in order, do not
  // overlap and end within `size`.
  absl::StatusOr<InodeRef> AddSparseFile(const Attributes& attributes, uint64_t size,
                                         absl::Span<const Extent> extents);
  absl::Status AppendContent(absl::string_view bytes);

  // `target`: 1 to 4095 bytes without NUL.
  absl::StatusOr<InodeRef> AddSymlink(const Attributes& attributes, absl::string_view target);
  // A device (`major` below 4096, `minor` below 2^20), FIFO or socket.
  absl::StatusOr<InodeRef> AddSpecial(const Attributes& attributes, erofs::FileType type,
                                      uint32_t major, uint32_t minor);

  // Writes the directories and all that was left open.
  absl::Status Finish(Directory& root, const Uuid& uuid);

  // Of the file, after Finish: a multiple of 4096.
  uint64_t bytes() const { return stream_.position(); }

 private:
  struct Inode {
    uint32_t cluster = 0;
    uint32_t offset = 0;  // in the cluster
    bool compact = false;
    uint32_t links = 0;  // names that were found for it
  };
  // A piece of the content to come, and where the stream takes it.
  struct Piece {
    uint64_t position = 0;
    uint64_t bytes = 0;
  };

  absl::Status BeginInode(const Attributes& attributes);
  // `map`: of chunks. The content's rest goes inline where that pays.
  absl::StatusOr<InodeRef> AddInode(const Attributes& attributes, erofs::FileType type,
                                    InodeFields fields, absl::string_view map);
  absl::StatusOr<InodeRef> AddFlatFile(const Attributes& attributes, erofs::FileType type,
                                       uint64_t size);
  absl::Status AppendToStream(absl::string_view bytes);
  absl::Status EndContent();
  absl::Status FlushCluster();
  uint64_t PositionOf(const Inode& inode) const;
  void CountLinks(const Directory& directory);
  absl::Status MendLinks();
  std::string FirstBlock(absl::string_view root_inode, uint64_t directories,
                         const Uuid& uuid) const;

  BlockStream stream_;
  std::optional<FileTime> build_time_;  // of the first inode
  std::vector<Inode> inodes_;
  bool has_chunks_ = false;

  std::string cluster_;                   // of inodes, not yet written
  std::vector<uint64_t> cluster_starts_;  // in the file, of those that are

  // The content that is to come: first to the stream, the rest into the cluster.
  std::vector<Piece> pieces_;
  size_t next_piece_ = 0;
  uint64_t content_end_ = 0;  // of the stream
  size_t tail_offset_ = 0;
  size_t tail_bytes_ = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_EROFS_EROFS_WRITER_H_
