// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/erofs/directory_area.h"

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

using erofs::kBlockBytes;

uint64_t NidAt(uint64_t offset) { return offset / erofs::kSlotBytes; }

Directory* SubdirectoryIn(const Node& node) {
  const auto* directory = std::get_if<std::unique_ptr<Directory>>(&node);
  return directory == nullptr ? nullptr : directory->get();
}

uint32_t LinksOf(const Directory& directory) {
  uint32_t links = 2;  // its name, and its "."
  for (const auto& [name, node] : directory.children) {
    if (SubdirectoryIn(node) != nullptr) ++links;
  }
  return links;
}

InodeFields FieldsOf(const Directory& directory) {
  return {.mode = static_cast<uint16_t>(S_IFDIR | directory.attributes.permissions),
          .size = directory.place.size,
          .links = LinksOf(directory),
          .place = static_cast<uint32_t>(directory.place.first_block),
          .number = static_cast<uint32_t>(NidAt(directory.place.offset)),
          .layout = directory.place.inline_tail ? erofs::Layout::kInline : erofs::Layout::kPlain};
}

uint64_t BlocksOf(const Directory::Place& place) {
  const bool rest = place.size % kBlockBytes != 0 && !place.inline_tail;
  return place.size / kBlockBytes + (rest ? 1 : 0);
}

}  // namespace

std::vector<DirectoryName> DirectoryArea::NamesOf(const Directory& directory,
                                                  const Directory& parent) const {
  using erofs::FileType;
  std::vector<DirectoryName> names = {{".", NidAt(directory.place.offset), FileType::kDirectory},
                                      {"..", NidAt(parent.place.offset), FileType::kDirectory}};
  names.reserve(directory.children.size() + names.size());
  for (const auto& [name, node] : directory.children) {
    if (const Directory* child = SubdirectoryIn(node)) {
      names.push_back({name, NidAt(child->place.offset), FileType::kDirectory});
    } else {
      const InodeRef& inode = std::get<InodeRef>(node);
      names.push_back({name, nid_of_(inode), inode.type});
    }
  }
  std::sort(names.begin(), names.end(),
            [](const DirectoryName& a, const DirectoryName& b) { return a.name < b.name; });
  return names;
}

absl::StatusOr<InodeShape> DirectoryArea::ShapeOf(const Directory& directory) const {
  MSB_ASSIGN_OR_RETURN(const std::string xattrs, EncodeXattrs(directory.attributes.xattrs));
  InodeShape shape;
  shape.inode_bytes = InodeBytes(FieldsOf(directory), directory.attributes, build_time_);
  shape.head_bytes = shape.inode_bytes + xattrs.size();
  shape.tail_bytes = static_cast<uint32_t>(directory.place.size % kBlockBytes);
  return shape;
}

absl::Status DirectoryArea::PlaceRoot(Directory& root) {
  root.place.size = DirectoryBytes(NamesOf(root, root));
  root.place.offset = kRootOffset;
  MSB_ASSIGN_OR_RETURN(const InodeShape shape, ShapeOf(root));
  if (kRootOffset + shape.head_bytes > kBlockBytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("extended attributes of the root directory: ",
                                  shape.head_bytes - shape.inode_bytes, " bytes; at most ",
                                  kBlockBytes - kRootOffset - shape.inode_bytes, " fit"));
  }
  root.place.inline_tail =
      shape.tail_bytes != 0 && kRootOffset + shape.head_bytes + shape.tail_bytes <= kBlockBytes;
  root.place.first_block = blocks_;
  blocks_ += BlocksOf(root.place);
  ++count_;
  return absl::OkStatus();
}

absl::Status DirectoryArea::Place(Directory& directory) {
  directory.place.size = DirectoryBytes(NamesOf(directory, directory));
  MSB_ASSIGN_OR_RETURN(const InodeShape shape, ShapeOf(directory));
  const InodePlace place = PlaceInode(inodes_bytes_, shape);
  directory.place.offset = place.offset;
  directory.place.inline_tail = place.inline_tail;
  directory.place.first_block = blocks_;
  inodes_bytes_ = place.offset + shape.head_bytes + (place.inline_tail ? shape.tail_bytes : 0);
  blocks_ += BlocksOf(directory.place);
  ++count_;
  return absl::OkStatus();
}

absl::Status DirectoryArea::PlaceChildren(Directory& parent) {
  for (auto& [name, node] : parent.children) {
    Directory* const child = SubdirectoryIn(node);
    if (child == nullptr) continue;
    MSB_RETURN_IF_ERROR(Place(*child));
    MSB_RETURN_IF_ERROR(PlaceChildren(*child));
  }
  return absl::OkStatus();
}

// From places in the area to places in the file.
void DirectoryArea::Shift(Directory& parent, uint64_t first_block, uint64_t inodes_start) {
  for (auto& [name, node] : parent.children) {
    Directory* const child = SubdirectoryIn(node);
    if (child == nullptr) continue;
    child->place.first_block += first_block;
    child->place.offset += inodes_start;
    Shift(*child, first_block, inodes_start);
  }
}

absl::Status DirectoryArea::WriteBlocks(const Directory& directory, const Directory& parent) {
  if (BlocksOf(directory.place) > 0) {
    std::string content = EncodeDirectory(NamesOf(directory, parent));
    content.resize(BlocksOf(directory.place) * kBlockBytes, '\0');
    MSB_RETURN_IF_ERROR(stream_.Append(content));
  }
  for (const auto& [name, node] : directory.children) {
    const Directory* const child = SubdirectoryIn(node);
    if (child != nullptr) MSB_RETURN_IF_ERROR(WriteBlocks(*child, directory));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DirectoryArea::Encode(const Directory& directory,
                                                  const Directory& parent) {
  MSB_ASSIGN_OR_RETURN(const std::string xattrs, EncodeXattrs(directory.attributes.xattrs));
  std::string bytes = EncodeInode(FieldsOf(directory), directory.attributes, xattrs, build_time_);
  if (directory.place.inline_tail) {
    const std::string content = EncodeDirectory(NamesOf(directory, parent));
    bytes.append(content, content.size() / kBlockBytes * kBlockBytes);
  }
  return bytes;
}

absl::Status DirectoryArea::WriteInodes(const Directory& parent) {
  for (const auto& [name, node] : parent.children) {
    const Directory* const child = SubdirectoryIn(node);
    if (child == nullptr) continue;
    MSB_RETURN_IF_ERROR(stream_.AppendZeros(child->place.offset - stream_.position()));
    MSB_ASSIGN_OR_RETURN(const std::string bytes, Encode(*child, parent));
    MSB_RETURN_IF_ERROR(stream_.Append(bytes));
    MSB_RETURN_IF_ERROR(WriteInodes(*child));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DirectoryArea::Write(Directory& root) {
  MSB_RETURN_IF_ERROR(PlaceRoot(root));
  MSB_RETURN_IF_ERROR(PlaceChildren(root));
  const uint64_t first_block = stream_.block();
  root.place.first_block += first_block;
  Shift(root, first_block, (first_block + blocks_) * kBlockBytes);
  MSB_RETURN_IF_ERROR(WriteBlocks(root, root));
  MSB_RETURN_IF_ERROR(WriteInodes(root));
  return Encode(root, root);
}

}  // namespace msb::image
