// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/erofs/inode_image.h"

#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

using erofs::kBlockBytes;

constexpr size_t kXattrAlignment = 4;

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

template <typename T>
absl::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

struct XattrName {
  uint8_t index;
  absl::string_view rest;
};

// Prefixes that end with a dot stand for all that begins with them, others for themselves.
std::optional<XattrName> SplitXattrName(absl::string_view name) {
  constexpr std::pair<absl::string_view, uint8_t> kPrefixes[] = {
      {"user.", erofs::kXattrUser},
      {"trusted.", erofs::kXattrTrusted},
      {"security.", erofs::kXattrSecurity},
      {"system.posix_acl_access", erofs::kXattrAclAccess},
      {"system.posix_acl_default", erofs::kXattrAclDefault}};
  for (const auto& [prefix, index] : kPrefixes) {
    if (!absl::StartsWith(name, prefix)) continue;
    const absl::string_view rest = name.substr(prefix.size());
    if (absl::EndsWith(prefix, ".") != rest.empty()) return XattrName{index, rest};
  }
  return std::nullopt;
}

absl::Status AppendXattr(const Xattr& xattr, std::string& area) {
  const std::optional<XattrName> name = SplitXattrName(xattr.name);
  if (!name) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("there is no extended attribute ", EscapeForLog(xattr.name)));
  }
  if (xattr.name.size() > std::numeric_limits<uint8_t>::max() ||
      xattr.value.size() > std::numeric_limits<uint16_t>::max()) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("extended attribute ", EscapeForLog(xattr.name.substr(0, 64)),
                                  " of ", xattr.value.size(), " bytes"));
  }
  const erofs::XattrEntry entry = {.name_bytes = static_cast<uint8_t>(name->rest.size()),
                                   .name_index = name->index,
                                   .value_bytes = static_cast<uint16_t>(xattr.value.size())};
  absl::StrAppend(&area, BytesOf(entry), name->rest, xattr.value);
  area.resize(AlignUp(area.size(), kXattrAlignment), '\0');
  return absl::OkStatus();
}

uint16_t XattrCount(absl::string_view xattrs) {
  if (xattrs.empty()) return 0;
  return static_cast<uint16_t>(1 + (xattrs.size() - sizeof(erofs::XattrHeader)) / kXattrAlignment);
}

bool TailFits(uint64_t offset, const InodeShape& shape) {
  return (offset + shape.head_bytes) % kBlockBytes + shape.tail_bytes <= kBlockBytes;
}

}  // namespace

bool HasXattrPlace(absl::string_view name) { return SplitXattrName(name).has_value(); }

absl::StatusOr<std::string> EncodeXattrs(const std::vector<Xattr>& xattrs) {
  if (xattrs.empty()) return std::string();
  std::string area(sizeof(erofs::XattrHeader), '\0');
  for (const Xattr& xattr : xattrs) MSB_RETURN_IF_ERROR(AppendXattr(xattr, area));
  constexpr size_t kMaxBytes =
      sizeof(erofs::XattrHeader) + (erofs::kMaxXattrCount - 1) * kXattrAlignment;
  if (area.size() <= kMaxBytes) return area;
  return MakeError(Reason::kImageTooLarge, absl::StrCat("extended attributes of ", area.size(),
                                                        " bytes; at most ", kMaxBytes, " fit"));
}

uint32_t InodeBytes(const InodeFields& fields, const Attributes& attributes, FileTime build_time) {
  constexpr uint32_t kMax16 = std::numeric_limits<uint16_t>::max();
  const bool fits = attributes.uid <= kMax16 && attributes.gid <= kMax16 &&
                    fields.links <= kMax16 && fields.size <= std::numeric_limits<uint32_t>::max() &&
                    attributes.mtime == build_time;
  return fits ? sizeof(erofs::CompactInode) : sizeof(erofs::ExtendedInode);
}

std::string EncodeInode(const InodeFields& fields, const Attributes& attributes,
                        absl::string_view xattrs, FileTime build_time) {
  if (InodeBytes(fields, attributes, build_time) == sizeof(erofs::CompactInode)) {
    const erofs::CompactInode inode = {.format = erofs::FormatOf(erofs::kCompact, fields.layout),
                                       .xattr_count = XattrCount(xattrs),
                                       .mode = fields.mode,
                                       .links = static_cast<uint16_t>(fields.links),
                                       .size = static_cast<uint32_t>(fields.size),
                                       .reserved = 0,
                                       .place = fields.place,
                                       .number = fields.number,
                                       .uid = static_cast<uint16_t>(attributes.uid),
                                       .gid = static_cast<uint16_t>(attributes.gid),
                                       .reserved2 = 0};
    return absl::StrCat(BytesOf(inode), xattrs);
  }
  const erofs::ExtendedInode inode = {.format = erofs::FormatOf(erofs::kExtended, fields.layout),
                                      .xattr_count = XattrCount(xattrs),
                                      .mode = fields.mode,
                                      .reserved = 0,
                                      .size = fields.size,
                                      .place = fields.place,
                                      .number = fields.number,
                                      .uid = attributes.uid,
                                      .gid = attributes.gid,
                                      .mtime = static_cast<uint64_t>(attributes.mtime.seconds),
                                      .mtime_nsec = attributes.mtime.nanoseconds,
                                      .links = fields.links,
                                      .reserved2 = {}};
  return absl::StrCat(BytesOf(inode), xattrs);
}

InodePlace PlaceInode(uint64_t end, const InodeShape& shape) {
  uint64_t offset = AlignUp(end, erofs::kSlotBytes);
  const uint64_t next_block = AlignUp(offset, kBlockBytes);
  // The kernel would take an inode across two blocks, at the price of a copy.
  if (offset % kBlockBytes + shape.inode_bytes > kBlockBytes) offset = next_block;
  if (shape.tail_bytes == 0) return {.offset = offset, .inline_tail = false};
  if (TailFits(offset, shape)) return {.offset = offset, .inline_tail = true};
  const uint64_t wasted = next_block - offset;
  if (TailFits(next_block, shape) && wasted < kBlockBytes - shape.tail_bytes) {
    return {.offset = next_block, .inline_tail = true};
  }
  return {.offset = offset, .inline_tail = false};
}

}  // namespace msb::image
