// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/tar/header_fields.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/tar/format.h"
#include "image/tar/number.h"

namespace msb::image::tar {
namespace {

enum class Dialect { kOld, kUstar, kStar, kGnu };

absl::Status Invalid(absl::string_view what) {
  return MakeError(Reason::kImageInvalid, absl::StrCat("tar header: ", what));
}

template <size_t n>
absl::string_view Field(const char (&field)[n]) {
  return {field, n};
}

// Up to its first NUL, if it has one.
template <size_t n>
std::string Text(const char (&field)[n], size_t max_bytes = n) {
  return std::string(field, std::find(field, field + std::min(n, max_bytes), '\0'));
}

Dialect DialectOf(absl::string_view block, const Header& header) {
  const absl::string_view magic = block.substr(offsetof(Header, magic), 8);
  if (magic == absl::string_view(kGnuMagicVersion, sizeof(kGnuMagicVersion))) return Dialect::kGnu;
  if (Field(header.magic) != absl::string_view(kUstarMagic, sizeof(kUstarMagic))) {
    return Dialect::kOld;
  }
  const bool star = block.substr(kStarTrailerOffset) == absl::string_view("tar\0", 4);
  return star ? Dialect::kStar : Dialect::kUstar;
}

// The sum of all bytes, the checksum's own as spaces; old tars took them as signed.
bool HasRightChecksum(absl::string_view block, const Header& header) {
  const std::optional<int64_t> wanted = ParseField(Field(header.checksum));
  int64_t plain = 0;
  int64_t with_signs = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    const size_t in_field = i - offsetof(Header, checksum);
    const char c = in_field < sizeof(header.checksum) ? ' ' : block[i];
    plain += static_cast<uint8_t>(c);
    with_signs += static_cast<int8_t>(c);
  }
  return wanted && (*wanted == plain || *wanted == with_signs);
}

template <size_t n>
absl::StatusOr<int64_t> Number(absl::string_view name, const char (&field)[n]) {
  const std::optional<int64_t> value = ParseField(Field(field));
  if (!value) return Invalid(absl::StrCat("the field ", name, " is no number"));
  return *value;
}

std::string NameOf(const Header& header, Dialect dialect) {
  std::string name = Text(header.name);
  if (dialect != Dialect::kUstar && dialect != Dialect::kStar) return name;
  const std::string prefix =
      Text(header.prefix, dialect == Dialect::kStar ? kStarPrefixBytes : sizeof(header.prefix));
  return prefix.empty() ? name : absl::StrCat(prefix, "/", name);
}

}  // namespace

absl::StatusOr<HeaderFields> ParseHeader(absl::string_view block) {
  Header header;
  MSB_CHECK(block.size() == sizeof(header));
  std::memcpy(&header, block.data(), sizeof(header));
  if (!HasRightChecksum(block, header)) return Invalid("its checksum is wrong");
  const Dialect dialect = DialectOf(block, header);
  HeaderFields fields;
  fields.type = header.type;
  fields.name = NameOf(header, dialect);
  fields.link = Text(header.link_name);
  MSB_ASSIGN_OR_RETURN(const int64_t mode, Number("mode", header.mode));
  MSB_ASSIGN_OR_RETURN(fields.uid, Number("uid", header.uid));
  MSB_ASSIGN_OR_RETURN(fields.gid, Number("gid", header.gid));
  MSB_ASSIGN_OR_RETURN(const int64_t size, Number("size", header.size));
  MSB_ASSIGN_OR_RETURN(fields.mtime.seconds, Number("mtime", header.mtime));
  if (size < 0) return Invalid("the size is negative");
  fields.size = static_cast<uint64_t>(size);
  fields.permissions = static_cast<uint16_t>(mode & 07777);
  if (dialect == Dialect::kOld) return fields;
  MSB_ASSIGN_OR_RETURN(fields.dev_major, Number("devmajor", header.dev_major));
  MSB_ASSIGN_OR_RETURN(fields.dev_minor, Number("devminor", header.dev_minor));
  return fields;
}

}  // namespace msb::image::tar
