// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/tar/pax_records.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/tar/number.h"

namespace msb::image::tar {
namespace {

constexpr absl::string_view kXattrPrefix = "SCHILY.xattr.";
constexpr size_t kMaxLengthDigits = 10;
// Looked through for each record.
constexpr size_t kMaxXattrs = 1024;

struct Record {
  absl::string_view key;
  absl::string_view value;
};

absl::Status Invalid(absl::string_view what) {
  return MakeError(Reason::kImageInvalid, absl::StrCat("pax header: ", what));
}

// "25 mtime=1700000000.123\n": the length counts all of it.
absl::StatusOr<Record> TakeRecord(absl::string_view& records) {
  const size_t space = records.substr(0, kMaxLengthDigits + 1).find(' ');
  if (space == absl::string_view::npos) return Invalid("a record has no length");
  const std::optional<uint64_t> length = ParseDecimal(records.substr(0, space));
  if (!length || *length <= space + 1 || *length > records.size()) {
    return Invalid("a record's length is wrong");
  }
  absl::string_view text = records.substr(space + 1, *length - space - 1);
  records.remove_prefix(*length);
  if (!absl::ConsumeSuffix(&text, "\n")) return Invalid("a record does not end with a line's end");
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) return Invalid("a record has no key");
  return Record{text.substr(0, equals), text.substr(equals + 1)};
}

absl::Status BadValue(const Record& record) {
  return Invalid(absl::StrCat("'", EscapeForLog(record.value.substr(0, 64)), "' is no value of ",
                              EscapeForLog(record.key.substr(0, 64))));
}

// An empty value takes back what an earlier record has said.
absl::Status SetText(const Record& record, std::optional<std::string>& out) {
  if (absl::StrContains(record.value, '\0')) return BadValue(record);
  out = record.value.empty() ? std::nullopt : std::make_optional(std::string(record.value));
  return absl::OkStatus();
}

absl::Status SetNumber(const Record& record, std::optional<uint64_t>& out) {
  out = ParseDecimal(record.value);
  return out || record.value.empty() ? absl::OkStatus() : BadValue(record);
}

absl::Status SetTime(const Record& record, std::optional<FileTime>& out) {
  out = ParseTime(record.value);
  return out || record.value.empty() ? absl::OkStatus() : BadValue(record);
}

absl::Status SetXattr(const Record& record, std::vector<Xattr>& xattrs) {
  const absl::string_view name = record.key.substr(kXattrPrefix.size());
  if (name.empty() || absl::StrContains(name, '\0')) return Invalid("an attribute's name");
  for (Xattr& xattr : xattrs) {
    if (xattr.name != name) continue;
    xattr.value = std::string(record.value);
    return absl::OkStatus();
  }
  if (xattrs.size() == kMaxXattrs) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("an entry has more than ", kMaxXattrs, " extended attributes"));
  }
  xattrs.push_back({.name = std::string(name), .value = std::string(record.value)});
  return absl::OkStatus();
}

// 0.0 has a record for each number: they come in pairs, in their order.
absl::Status AppendSparsePart(const Record& record, PaxRecords& records) {
  if (!ParseDecimal(record.value)) return BadValue(record);
  absl::StrAppend(&records.sparse_map, records.sparse_map.empty() ? "" : ",", record.value);
  return absl::OkStatus();
}

absl::Status SetSparse(const Record& record, PaxRecords& records) {
  const absl::string_view key = record.key;
  if (key == "GNU.sparse.major") {
    records.sparse_major = std::string(record.value);
  } else if (key == "GNU.sparse.minor") {
    records.sparse_minor = std::string(record.value);
  } else if (key == "GNU.sparse.name") {
    return SetText(record, records.sparse_name);
  } else if (key == "GNU.sparse.size" || key == "GNU.sparse.realsize") {
    return SetNumber(record, records.sparse_size);
  } else if (key == "GNU.sparse.map") {
    records.sparse_map = std::string(record.value);
  } else if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") {
    return AppendSparsePart(record, records);
  }
  return absl::OkStatus();
}

absl::Status Set(const Record& record, PaxRecords& records) {
  if (record.key == "path") return SetText(record, records.path);
  if (record.key == "linkpath") return SetText(record, records.link_path);
  if (record.key == "size") return SetNumber(record, records.size);
  if (record.key == "uid") return SetNumber(record, records.uid);
  if (record.key == "gid") return SetNumber(record, records.gid);
  if (record.key == "mtime") return SetTime(record, records.mtime);
  if (absl::StartsWith(record.key, kXattrPrefix)) return SetXattr(record, records.xattrs);
  if (absl::StartsWith(record.key, "GNU.sparse.")) return SetSparse(record, records);
  return absl::OkStatus();  // of no meaning for a layer
}

}  // namespace

absl::StatusOr<PaxRecords> ParsePaxRecords(absl::string_view records) {
  PaxRecords parsed;
  while (!records.empty()) {
    MSB_ASSIGN_OR_RETURN(const Record record, TakeRecord(records));
    MSB_RETURN_IF_ERROR(Set(record, parsed));
  }
  return parsed;
}

}  // namespace msb::image::tar
