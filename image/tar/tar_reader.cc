// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/tar/tar_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/tar/header_fields.h"
#include "image/tar/number.h"
#include "image/tar/sparse_map.h"

namespace msb::image::tar {
namespace {

// Of a pax header, a long name; Go's limit too.
constexpr uint64_t kMaxSpecialBytes = uint64_t{1} << 20;
// What chown takes for "leave it".
constexpr uint64_t kNoId = std::numeric_limits<uint32_t>::max();
constexpr size_t kMaxDecimalDigits = 20;

absl::Status Invalid(absl::string_view what) {
  return MakeError(Reason::kImageInvalid, absl::StrCat("tar: ", what));
}

absl::Status InvalidEntry(const Entry& entry, absl::string_view what) {
  return Invalid(absl::StrCat("entry '", EscapeForLog(entry.name), "': ", what));
}

uint64_t PaddingOf(uint64_t bytes) { return (kBlockBytes - bytes % kBlockBytes) % kBlockBytes; }

bool IsZero(absl::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

std::optional<Entry::Type> TypeOf(char type, absl::string_view name) {
  using Type = Entry::Type;
  switch (type) {
    case kFileOld:
      return absl::EndsWith(name, "/") ? Type::kDirectory : Type::kFile;
    case kFile:
    case kContiguousFile:
    case kGnuSparse:
      return Type::kFile;
    case kHardLink:
      return Type::kHardLink;
    case kSymlink:
      return Type::kSymlink;
    case kCharDevice:
      return Type::kCharDevice;
    case kBlockDevice:
      return Type::kBlockDevice;
    case kDirectory:
      return Type::kDirectory;
    case kFifo:
      return Type::kFifo;
    default:
      return std::nullopt;
  }
}

bool HasContent(char type) {
  return type == kFileOld || type == kFile || type == kContiguousFile || type == kGnuSparse;
}

absl::StatusOr<uint32_t> IdOf(const Entry& entry, absl::string_view what, int64_t field,
                              std::optional<uint64_t> pax) {
  const uint64_t id = pax.value_or(static_cast<uint64_t>(field));
  if (id < kNoId) return static_cast<uint32_t>(id);
  return InvalidEntry(entry, absl::StrCat("there is no ", what, " ", id));
}

}  // namespace

absl::StatusOr<std::string> Reader::ReadExactly(uint64_t bytes) {
  std::string content;
  while (content.size() < bytes) {
    MSB_ASSIGN_OR_RETURN(const absl::string_view piece, source_.Read(bytes - content.size()));
    if (piece.empty()) return Invalid("it is cut short");
    absl::StrAppend(&content, piece);
  }
  return content;
}

absl::Status Reader::Skip(uint64_t bytes) {
  while (bytes > 0) {
    MSB_ASSIGN_OR_RETURN(
        const absl::string_view piece,
        source_.Read(std::min<uint64_t>(bytes, std::numeric_limits<size_t>::max())));
    if (piece.empty()) return Invalid("it is cut short");
    bytes -= piece.size();
  }
  return absl::OkStatus();
}

// A tar may end with its last content, unpadded: umoci writes such layers, and Go reads them.
absl::Status Reader::SkipPadding() {
  while (padding_ > 0) {
    MSB_ASSIGN_OR_RETURN(const absl::string_view piece, source_.Read(padding_));
    padding_ = piece.empty() ? 0 : padding_ - piece.size();
  }
  return absl::OkStatus();
}

// The archive ends with two blocks of zeroes, or simply ends.
absl::StatusOr<std::optional<std::string>> Reader::ReadHeader() {
  MSB_ASSIGN_OR_RETURN(const absl::string_view first, source_.Read(kBlockBytes));
  if (first.empty()) return std::nullopt;
  std::string block(first);
  MSB_ASSIGN_OR_RETURN(const std::string rest, ReadExactly(kBlockBytes - block.size()));
  block += rest;
  if (!IsZero(block)) return block;
  MSB_ASSIGN_OR_RETURN(const absl::string_view second, source_.Read(kBlockBytes));
  if (second.empty()) return std::nullopt;
  block = std::string(second);
  MSB_ASSIGN_OR_RETURN(const std::string second_rest, ReadExactly(kBlockBytes - block.size()));
  if (!IsZero(block) || !IsZero(second_rest)) return Invalid("an entry behind its end");
  return std::nullopt;
}

absl::StatusOr<std::string> Reader::ReadSpecial(uint64_t bytes) {
  if (bytes > kMaxSpecialBytes) {
    return MakeError(Reason::kImageTooLarge, absl::StrCat("tar: a header of ", bytes, " bytes"));
  }
  MSB_ASSIGN_OR_RETURN(std::string content, ReadExactly(bytes));
  MSB_RETURN_IF_ERROR(Skip(PaddingOf(bytes)));
  return content;
}

absl::StatusOr<bool> Reader::TakeSpecial(const HeaderFields& fields, Pending& pending) {
  const auto until_nul = [](const std::string& text) { return text.substr(0, text.find('\0')); };
  switch (fields.type) {
    case kPaxHeader: {
      MSB_ASSIGN_OR_RETURN(const std::string records, ReadSpecial(fields.size));
      MSB_ASSIGN_OR_RETURN(pending.pax, ParsePaxRecords(records));
      return true;
    }
    case kPaxGlobalHeader: {
      MSB_ASSIGN_OR_RETURN(const std::string records, ReadSpecial(fields.size));
      // Nothing is taken from it, but a broken one is no tar.
      MSB_RETURN_IF_ERROR(ParsePaxRecords(records));
      return true;
    }
    case kGnuLongName: {
      MSB_ASSIGN_OR_RETURN(const std::string name, ReadSpecial(fields.size));
      pending.long_name = until_nul(name);
      return true;
    }
    case kGnuLongLink: {
      MSB_ASSIGN_OR_RETURN(const std::string link, ReadSpecial(fields.size));
      pending.long_link = until_nul(link);
      return true;
    }
    default:
      return false;
  }
}

absl::StatusOr<Entry> Reader::MakeEntry(const std::string& header, HeaderFields fields,
                                        Pending pending) {
  const auto or_else = [](std::optional<std::string>& first, std::optional<std::string>& second,
                          std::string& last) {
    return std::move(first ? *first : second ? *second : last);
  };
  Entry entry;
  entry.name = or_else(pending.long_name, pending.pax.path, fields.name);
  entry.link = or_else(pending.long_link, pending.pax.link_path, fields.link);
  if (pending.pax.sparse_name && !pending.long_name) entry.name = *pending.pax.sparse_name;
  if (entry.name.empty()) return Invalid("an entry without a name");
  const std::optional<Entry::Type> type = TypeOf(fields.type, entry.name);
  if (!type) {
    return InvalidEntry(entry, absl::StrCat("type ", static_cast<int>(fields.type), " is unknown"));
  }
  entry.type = *type;
  entry.attributes.permissions = fields.permissions;
  MSB_ASSIGN_OR_RETURN(entry.attributes.uid, IdOf(entry, "user", fields.uid, pending.pax.uid));
  MSB_ASSIGN_OR_RETURN(entry.attributes.gid, IdOf(entry, "group", fields.gid, pending.pax.gid));
  entry.attributes.mtime = pending.pax.mtime.value_or(fields.mtime);
  entry.attributes.xattrs = std::move(pending.pax.xattrs);
  if (HasContent(fields.type)) {
    entry.size = pending.pax.size.value_or(fields.size);
    content_left_ = entry.size;
    padding_ = PaddingOf(entry.size);
    MSB_RETURN_IF_ERROR(ReadSparseMap(header, pending.pax, entry));
  }
  if (*type == Entry::Type::kCharDevice || *type == Entry::Type::kBlockDevice) {
    constexpr int64_t kMaxMajor = 0xfff;
    constexpr int64_t kMaxMinor = 0xfffff;
    if (fields.dev_major < 0 || fields.dev_major > kMaxMajor || fields.dev_minor < 0 ||
        fields.dev_minor > kMaxMinor) {
      return InvalidEntry(entry, "there is no device of this number");
    }
    entry.dev_major = static_cast<uint32_t>(fields.dev_major);
    entry.dev_minor = static_cast<uint32_t>(fields.dev_minor);
  }
  return entry;
}

absl::StatusOr<std::vector<Extent>> Reader::ReadOldSparseMap(const std::string& header) {
  std::vector<Extent> extents;
  absl::string_view entries = absl::string_view(header).substr(kSparseInHeaderOffset);
  bool right = AppendOldEntries(entries, kSparseInHeader, extents);
  bool more = header[kSparseExtendedOffset] != '\0';
  while (right && more) {
    MSB_ASSIGN_OR_RETURN(const std::string block, ReadExactly(kBlockBytes));
    right = AppendOldEntries(block, kSparseInBlock, extents);
    more = block[kSparseMoreOffset] != '\0';
    if (extents.size() > kMaxExtents) {
      return MakeError(Reason::kImageTooLarge, "tar: a sparse file of too many pieces");
    }
  }
  if (!right) return Invalid("a sparse file's map is broken");
  return extents;
}

// At the beginning of the content: a number a line, how many pairs first, then filled up to a
// block.
absl::StatusOr<std::vector<Extent>> Reader::ReadSparseMap10() {
  std::string text;
  size_t taken = 0;
  const auto next = [&]() -> absl::StatusOr<uint64_t> {
    size_t end = text.find('\n', taken);
    while (end == std::string::npos) {
      if (text.size() - taken > kMaxDecimalDigits || content_left_ < kBlockBytes) {
        return Invalid("a sparse file's map is broken");
      }
      text.erase(0, taken);
      taken = 0;
      MSB_ASSIGN_OR_RETURN(const std::string block, ReadExactly(kBlockBytes));
      content_left_ -= kBlockBytes;
      text += block;
      end = text.find('\n');
    }
    const auto value = ParseDecimal(absl::string_view(text).substr(taken, end - taken));
    taken = end + 1;
    if (!value) return Invalid("a sparse file's map is broken");
    return *value;
  };
  MSB_ASSIGN_OR_RETURN(const uint64_t count, next());
  if (count > kMaxExtents) {
    return MakeError(Reason::kImageTooLarge, "tar: a sparse file of too many pieces");
  }
  std::vector<Extent> extents;
  for (uint64_t i = 0; i < count; ++i) {
    Extent extent;
    MSB_ASSIGN_OR_RETURN(extent.offset, next());
    MSB_ASSIGN_OR_RETURN(extent.bytes, next());
    extents.push_back(extent);
  }
  return extents;
}

absl::Status Reader::ReadSparseMap(const std::string& header, const PaxRecords& pax, Entry& entry) {
  const bool old = header[offsetof(Header, type)] == kGnuSparse;
  const bool in_content = pax.sparse_major == "1" && pax.sparse_minor == "0";
  const bool in_records = pax.sparse_major == "0" || !pax.sparse_map.empty();
  if (old) {
    const auto size = ParseField(absl::string_view(header).substr(kSparseRealSizeOffset, 12));
    if (!size || *size < 0) return InvalidEntry(entry, "the size is no number");
    entry.size = static_cast<uint64_t>(*size);
    MSB_ASSIGN_OR_RETURN(entry.extents, ReadOldSparseMap(header));
  } else if (in_content) {
    MSB_ASSIGN_OR_RETURN(entry.extents, ReadSparseMap10());
  } else if (in_records) {
    entry.extents = ParsePairs(pax.sparse_map);
    if (!entry.extents) return InvalidEntry(entry, "its sparse map is broken");
  } else {
    return absl::OkStatus();
  }
  if (!old) entry.size = pax.sparse_size.value_or(entry.size);
  if (IsSparseMap(*entry.extents, entry.size, content_left_)) return absl::OkStatus();
  return InvalidEntry(entry, "its sparse map does not fit it");
}

absl::StatusOr<std::optional<Entry>> Reader::Next() {
  MSB_RETURN_IF_ERROR(Skip(std::exchange(content_left_, 0)));
  MSB_RETURN_IF_ERROR(SkipPadding());
  Pending pending;
  bool pending_any = false;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const std::optional<std::string> header, ReadHeader());
    if (!header) {
      if (pending_any) return Invalid("it ends behind an entry's extended header");
      return std::nullopt;
    }
    MSB_ASSIGN_OR_RETURN(HeaderFields fields, ParseHeader(*header));
    MSB_ASSIGN_OR_RETURN(const bool special, TakeSpecial(fields, pending));
    if (!special) {
      MSB_ASSIGN_OR_RETURN(Entry entry, MakeEntry(*header, std::move(fields), std::move(pending)));
      return std::optional<Entry>(std::move(entry));
    }
    pending_any |= fields.type != kPaxGlobalHeader;
  }
}

absl::StatusOr<absl::string_view> Reader::ReadContent() {
  if (content_left_ == 0) return absl::string_view();
  MSB_ASSIGN_OR_RETURN(const absl::string_view piece, source_.Read(content_left_));
  if (piece.empty()) return Invalid("it is cut short");
  content_left_ -= piece.size();
  return piece;
}

}  // namespace msb::image::tar
