// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/erofs/erofs_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/erofs/crc32c.h"
#include "image/erofs/directory_area.h"

namespace msb::image {
namespace {

using erofs::FileType;
using erofs::kBlockBytes;
using erofs::Layout;

// Inodes of neighbours stand together, and content is not cut up by them.
constexpr size_t kClusterBytes = size_t{1} << 20;
// Of a chunk map: 256 KiB. Larger files get larger chunks.
constexpr uint64_t kMaxChunks = 65536;
constexpr uint64_t kMaxFileBytes = uint64_t{erofs::kHole} << erofs::kBlockBits;

uint64_t RoundUp(uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

uint16_t TypeBits(FileType type) {
  switch (type) {
    case FileType::kRegular:
      return S_IFREG;
    case FileType::kDirectory:
      return S_IFDIR;
    case FileType::kCharDevice:
      return S_IFCHR;
    case FileType::kBlockDevice:
      return S_IFBLK;
    case FileType::kFifo:
      return S_IFIFO;
    case FileType::kSocket:
      return S_IFSOCK;
    case FileType::kSymlink:
      return S_IFLNK;
  }
  MSB_CHECK(false);
}

// new_encode_dev of the kernel.
uint32_t EncodeDevice(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}

absl::Status CheckFileSize(uint64_t size) {
  if (size <= kMaxFileBytes) return absl::OkStatus();
  return MakeError(Reason::kImageTooLarge, absl::StrCat("a file of ", size, " bytes"));
}

uint32_t ChunkBitsFor(uint64_t size) {
  uint32_t bits = 0;
  while (RoundUp(size) / kBlockBytes > kMaxChunks << bits) ++bits;
  return bits;
}

}  // namespace

absl::Status ErofsWriter::BeginInode(const Attributes& attributes) {
  MSB_CHECK(next_piece_ == pieces_.size() && tail_bytes_ == 0);  // the content before is whole
  if (!build_time_) build_time_ = attributes.mtime;
  return cluster_.size() < kClusterBytes ? absl::OkStatus() : FlushCluster();
}

absl::StatusOr<InodeRef> ErofsWriter::AddInode(const Attributes& attributes, FileType type,
                                               InodeFields fields, absl::string_view map) {
  MSB_ASSIGN_OR_RETURN(const std::string xattrs, EncodeXattrs(attributes.xattrs));
  fields.mode = static_cast<uint16_t>(TypeBits(type) | attributes.permissions);
  fields.number = static_cast<uint32_t>(inodes_.size() + 1);
  InodeShape shape;
  shape.inode_bytes = InodeBytes(fields, attributes, *build_time_);
  shape.head_bytes = shape.inode_bytes + xattrs.size() + map.size();
  if (fields.layout != Layout::kChunked) {
    shape.tail_bytes = static_cast<uint32_t>(fields.size % kBlockBytes);
  }
  const InodePlace place = PlaceInode(cluster_.size(), shape);
  if (place.inline_tail) fields.layout = Layout::kInline;
  cluster_.resize(place.offset, '\0');
  absl::StrAppend(&cluster_, EncodeInode(fields, attributes, xattrs, *build_time_), map);
  if (place.inline_tail) {
    tail_offset_ = cluster_.size();
    tail_bytes_ = shape.tail_bytes;
    cluster_.resize(tail_offset_ + tail_bytes_, '\0');
  }
  inodes_.push_back({.cluster = static_cast<uint32_t>(cluster_starts_.size()),
                     .offset = static_cast<uint32_t>(place.offset),
                     .compact = shape.inode_bytes == sizeof(erofs::CompactInode)});
  return InodeRef{.index = static_cast<uint32_t>(inodes_.size() - 1), .type = type};
}

absl::StatusOr<InodeRef> ErofsWriter::AddFlatFile(const Attributes& attributes, FileType type,
                                                  uint64_t size) {
  MSB_RETURN_IF_ERROR(CheckFileSize(size));
  MSB_RETURN_IF_ERROR(BeginInode(attributes));
  MSB_ASSIGN_OR_RETURN(const InodeRef inode,
                       AddInode(attributes, type, {.size = size, .place = stream_.block()}, ""));
  const uint64_t start = stream_.position();
  pieces_.assign(1, {.position = start, .bytes = size - tail_bytes_});
  next_piece_ = 0;
  content_end_ = start + RoundUp(size - tail_bytes_);
  if (pieces_[0].bytes == 0) ++next_piece_;
  return inode;
}

absl::StatusOr<InodeRef> ErofsWriter::AddFile(const Attributes& attributes, uint64_t size) {
  return AddFlatFile(attributes, FileType::kRegular, size);
}

absl::StatusOr<InodeRef> ErofsWriter::AddSparseFile(const Attributes& attributes, uint64_t size,
                                                    absl::Span<const Extent> extents) {
  MSB_RETURN_IF_ERROR(CheckFileSize(size));
  MSB_RETURN_IF_ERROR(BeginInode(attributes));
  const uint32_t bits = ChunkBitsFor(size);
  const uint64_t chunk_bytes = uint64_t{kBlockBytes} << bits;
  std::vector<uint32_t> map((size + chunk_bytes - 1) / chunk_bytes, erofs::kHole);
  pieces_.clear();
  next_piece_ = 0;
  content_end_ = stream_.position();
  for (const Extent& extent : extents) {
    if (extent.bytes == 0) continue;
    const uint64_t first = extent.offset / chunk_bytes;
    for (uint64_t chunk = first; chunk * chunk_bytes < extent.offset + extent.bytes; ++chunk) {
      if (map[chunk] != erofs::kHole) continue;
      map[chunk] = static_cast<uint32_t>(content_end_ / kBlockBytes);
      content_end_ += std::min(chunk_bytes, RoundUp(size - chunk * chunk_bytes));
    }
    // What one extent touches has been placed in one go, so it is consecutive.
    pieces_.push_back({.position = uint64_t{map[first]} * kBlockBytes + extent.offset % chunk_bytes,
                       .bytes = extent.bytes});
  }
  has_chunks_ = true;
  MSB_ASSIGN_OR_RETURN(
      const InodeRef inode,
      AddInode(attributes, FileType::kRegular,
               {.size = size, .place = bits, .layout = Layout::kChunked},
               {reinterpret_cast<const char*>(map.data()), map.size() * sizeof(uint32_t)}));
  if (pieces_.empty()) MSB_RETURN_IF_ERROR(EndContent());
  return inode;
}

absl::Status ErofsWriter::AppendToStream(absl::string_view bytes) {
  Piece& piece = pieces_[next_piece_];
  MSB_RETURN_IF_ERROR(stream_.AppendZeros(piece.position - stream_.position()));
  MSB_RETURN_IF_ERROR(stream_.Append(bytes));
  piece.position += bytes.size();
  piece.bytes -= bytes.size();
  if (piece.bytes > 0) return absl::OkStatus();
  ++next_piece_;
  return next_piece_ == pieces_.size() ? EndContent() : absl::OkStatus();
}

absl::Status ErofsWriter::EndContent() {
  return stream_.AppendZeros(content_end_ - stream_.position());
}

absl::Status ErofsWriter::AppendContent(absl::string_view bytes) {
  while (!bytes.empty() && next_piece_ < pieces_.size()) {
    const size_t step = std::min<uint64_t>(bytes.size(), pieces_[next_piece_].bytes);
    MSB_RETURN_IF_ERROR(AppendToStream(bytes.substr(0, step)));
    bytes.remove_prefix(step);
  }
  MSB_CHECK(bytes.size() <= tail_bytes_);
  if (bytes.empty()) return absl::OkStatus();
  std::copy(bytes.begin(), bytes.end(), cluster_.begin() + static_cast<ptrdiff_t>(tail_offset_));
  tail_offset_ += bytes.size();
  tail_bytes_ -= bytes.size();
  return absl::OkStatus();
}

absl::StatusOr<InodeRef> ErofsWriter::AddSymlink(const Attributes& attributes,
                                                 absl::string_view target) {
  MSB_ASSIGN_OR_RETURN(const InodeRef inode,
                       AddFlatFile(attributes, FileType::kSymlink, target.size()));
  MSB_RETURN_IF_ERROR(AppendContent(target));
  return inode;
}

absl::StatusOr<InodeRef> ErofsWriter::AddSpecial(const Attributes& attributes, FileType type,
                                                 uint32_t major, uint32_t minor) {
  MSB_RETURN_IF_ERROR(BeginInode(attributes));
  return AddInode(attributes, type, {.place = EncodeDevice(major, minor)}, "");
}

absl::Status ErofsWriter::FlushCluster() {
  cluster_starts_.push_back(stream_.position());
  MSB_RETURN_IF_ERROR(stream_.Append(cluster_));
  cluster_.clear();
  return stream_.FillBlock();
}

uint64_t ErofsWriter::PositionOf(const Inode& inode) const {
  return cluster_starts_[inode.cluster] + inode.offset;
}

void ErofsWriter::CountLinks(const Directory& directory) {
  for (const auto& [name, node] : directory.children) {
    if (const auto* child = std::get_if<std::unique_ptr<Directory>>(&node)) {
      CountLinks(**child);
    } else {
      ++inodes_[std::get<InodeRef>(node).index].links;
    }
  }
}

absl::Status ErofsWriter::MendLinks() {
  for (const Inode& inode : inodes_) {
    if (inode.links <= 1) continue;  // as it was written; without a name nobody sees it
    const uint64_t position = PositionOf(inode);
    if (!inode.compact) {
      MSB_RETURN_IF_ERROR(
          stream_.WriteAt(position + offsetof(erofs::ExtendedInode, links),
                          {reinterpret_cast<const char*>(&inode.links), sizeof(inode.links)}));
      continue;
    }
    if (inode.links > std::numeric_limits<uint16_t>::max()) {
      return MakeError(Reason::kImageTooLarge, absl::StrCat(inode.links, " links to one file"));
    }
    const auto links = static_cast<uint16_t>(inode.links);
    MSB_RETURN_IF_ERROR(stream_.WriteAt(position + offsetof(erofs::CompactInode, links),
                                        {reinterpret_cast<const char*>(&links), sizeof(links)}));
  }
  return absl::OkStatus();
}

std::string ErofsWriter::FirstBlock(absl::string_view root_inode, uint64_t directories,
                                    const Uuid& uuid) const {
  erofs::SuperBlock super = {};
  super.magic = erofs::kSuperMagic;
  super.feature_compat = erofs::kCompatChecksum | erofs::kCompatMtime;
  super.block_bits = erofs::kBlockBits;
  super.root_nid = kRootOffset / erofs::kSlotBytes;
  super.inodes = directories;
  for (const Inode& inode : inodes_) super.inodes += inode.links > 0 ? 1 : 0;
  super.build_time = static_cast<uint64_t>(build_time_->seconds);
  super.build_time_nsec = build_time_->nanoseconds;
  super.blocks = static_cast<uint32_t>(bytes() / kBlockBytes);
  std::copy(uuid.begin(), uuid.end(), super.uuid);
  super.feature_incompat = has_chunks_ ? erofs::kIncompatChunkedFile : 0;

  std::string block(kBlockBytes, '\0');
  std::memcpy(&block[kRootOffset], root_inode.data(), root_inode.size());
  std::memcpy(&block[erofs::kSuperOffset], &super, sizeof(super));
  super.checksum = Crc32c(absl::string_view(block).substr(erofs::kSuperOffset));
  std::memcpy(&block[erofs::kSuperOffset], &super, sizeof(super));
  return block;
}

absl::Status ErofsWriter::Finish(Directory& root, const Uuid& uuid) {
  MSB_RETURN_IF_ERROR(BeginInode(root.attributes));
  MSB_RETURN_IF_ERROR(FlushCluster());
  CountLinks(root);
  DirectoryArea area(stream_, *build_time_, [this](const InodeRef& inode) {
    return PositionOf(inodes_[inode.index]) / erofs::kSlotBytes;
  });
  MSB_ASSIGN_OR_RETURN(const std::string root_inode, area.Write(root));
  MSB_RETURN_IF_ERROR(stream_.Finish());
  MSB_RETURN_IF_ERROR(MendLinks());
  return stream_.WriteAt(0, FirstBlock(root_inode, area.count(), uuid));
}

}  // namespace msb::image
