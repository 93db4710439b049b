// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/erofs/directory_blocks.h"

#include "absl/strings/str_cat.h"

namespace msb::image {
namespace {

struct Block {
  absl::Span<const DirectoryName> names;
  size_t bytes = 0;
};

// As many of `names` as one block takes: at least one.
Block FirstBlock(absl::Span<const DirectoryName> names) {
  Block block;
  size_t count = 0;
  for (const DirectoryName& name : names) {
    const size_t wanted = sizeof(erofs::DirectoryEntry) + name.name.size();
    if (block.bytes + wanted > erofs::kBlockBytes) break;
    block.bytes += wanted;
    ++count;
  }
  block.names = names.first(count);
  return block;
}

void AppendBlock(const Block& block, std::string& content) {
  size_t name_offset = block.names.size() * sizeof(erofs::DirectoryEntry);
  for (const DirectoryName& name : block.names) {
    const erofs::DirectoryEntry entry = {.nid = name.nid,
                                         .name_offset = static_cast<uint16_t>(name_offset),
                                         .file_type = static_cast<uint8_t>(name.type),
                                         .reserved = 0};
    content.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
    name_offset += name.name.size();
  }
  for (const DirectoryName& name : block.names) absl::StrAppend(&content, name.name);
}

}  // namespace

uint64_t DirectoryBytes(absl::Span<const DirectoryName> names) {
  uint64_t bytes = 0;
  while (!names.empty()) {
    const Block block = FirstBlock(names);
    names.remove_prefix(block.names.size());
    bytes += names.empty() ? block.bytes : erofs::kBlockBytes;
  }
  return bytes;
}

std::string EncodeDirectory(absl::Span<const DirectoryName> names) {
  std::string content;
  while (!names.empty()) {
    const Block block = FirstBlock(names);
    names.remove_prefix(block.names.size());
    const size_t end = content.size() + erofs::kBlockBytes;
    AppendBlock(block, content);
    if (!names.empty()) content.resize(end, '\0');
  }
  return content;
}

}  // namespace msb::image
