// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/tar/sparse_map.h"

#include "absl/strings/str_split.h"
#include "image/tar/format.h"
#include "image/tar/number.h"

namespace msb::image::tar {

bool AppendOldEntries(absl::string_view bytes, size_t count, std::vector<Extent>& extents) {
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view entry = bytes.substr(i * sizeof(SparseEntry), sizeof(SparseEntry));
    if (entry[0] == '\0') return true;
    const std::optional<int64_t> offset = ParseField(entry.substr(0, sizeof(SparseEntry::offset)));
    const std::optional<int64_t> length = ParseField(entry.substr(sizeof(SparseEntry::offset)));
    if (!offset || !length || *offset < 0 || *length < 0) return false;
    extents.push_back(
        {.offset = static_cast<uint64_t>(*offset), .bytes = static_cast<uint64_t>(*length)});
  }
  return true;
}

std::optional<std::vector<Extent>> ParsePairs(absl::string_view text) {
  std::vector<uint64_t> numbers;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::optional<uint64_t> number = ParseDecimal(part);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  if (numbers.size() % 2 != 0) return std::nullopt;
  std::vector<Extent> extents;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    extents.push_back({.offset = numbers[i], .bytes = numbers[i + 1]});
  }
  return extents;
}

bool IsSparseMap(absl::Span<const Extent> extents, uint64_t size, uint64_t stored) {
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const Extent& extent : extents) {
    if (extent.offset < end || extent.offset > size || extent.bytes > size - extent.offset) {
      return false;
    }
    end = extent.offset + extent.bytes;
    sum += extent.bytes;
  }
  return sum == stored;
}

}  // namespace msb::image::tar
