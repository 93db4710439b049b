// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/image/tar_builder.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "image/tar/format.h"

namespace msb::image {
namespace {

void Put(std::string& header, size_t offset, absl::string_view text) {
  std::copy(text.begin(), text.end(), header.begin() + static_cast<ptrdiff_t>(offset));
}

}  // namespace

void TarBuilder::SetChecksum(std::string& header) {
  Put(header, offsetof(tar::Header, checksum), "        ");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<uint8_t>(c);
  Put(header, offsetof(tar::Header, checksum), absl::StrFormat("%06o", sum));
  header[offsetof(tar::Header, checksum) + 6] = '\0';
}

std::string TarBuilder::Header(const Entry& entry, uint64_t size) {
  std::string header(tar::kBlockBytes, '\0');
  const auto number = [&](size_t offset, uint64_t value, int digits) {
    Put(header, offset, absl::StrFormat("%0*o", digits, value));
  };
  Put(header, offsetof(tar::Header, name), absl::string_view(entry.name).substr(0, 100));
  number(offsetof(tar::Header, mode), entry.mode, 7);
  number(offsetof(tar::Header, uid), entry.uid & 07777777, 7);
  number(offsetof(tar::Header, gid), entry.gid & 07777777, 7);
  number(offsetof(tar::Header, size), size, 11);
  number(offsetof(tar::Header, mtime), static_cast<uint64_t>(std::max<int64_t>(entry.mtime, 0)),
         11);
  header[offsetof(tar::Header, type)] = entry.type;
  Put(header, offsetof(tar::Header, link_name), absl::string_view(entry.link).substr(0, 100));
  Put(header, offsetof(tar::Header, magic), absl::string_view("ustar\00000", 8));
  number(offsetof(tar::Header, dev_major), entry.dev_major, 7);
  number(offsetof(tar::Header, dev_minor), entry.dev_minor, 7);
  SetChecksum(header);
  return header;
}

std::string TarBuilder::PaxRecord(absl::string_view key, absl::string_view value) {
  const size_t rest = key.size() + value.size() + 3;  // space, '=', line's end
  size_t length = rest + 1;
  while (absl::StrCat(length).size() + rest != length) ++length;
  return absl::StrCat(length, " ", key, "=", value, "\n");
}

void TarBuilder::Append(const std::string& header, absl::string_view content) {
  absl::StrAppend(&tar_, header, content);
  tar_.resize((tar_.size() + tar::kBlockBytes - 1) / tar::kBlockBytes * tar::kBlockBytes, '\0');
}

TarBuilder& TarBuilder::Add(const Entry& entry) {
  std::string records;
  if (entry.name.size() > 100) records += PaxRecord("path", entry.name);
  if (entry.link.size() > 100) records += PaxRecord("linkpath", entry.link);
  if (entry.uid > 07777777) records += PaxRecord("uid", absl::StrCat(entry.uid));
  if (entry.gid > 07777777) records += PaxRecord("gid", absl::StrCat(entry.gid));
  for (const auto& [key, value] : entry.pax) records += PaxRecord(key, value);
  if (!records.empty()) Append(Header({.name = "pax", .type = 'x'}, records.size()), records);
  Append(Header(entry, entry.content.size()), entry.content);
  return *this;
}

}  // namespace msb::image
