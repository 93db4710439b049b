// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/fuse/message.h"

#include <limits.h>

#include <algorithm>

#include "base/check.h"

namespace msb {

ErrnoOr<std::string> RequestReader::TakeText() {
  const auto* const end = static_cast<const uint8_t*>(std::memchr(rest_.data(), 0, rest_.size()));
  if (rest_.empty() || end == nullptr) return ErrnoValue(EINVAL);
  const size_t size = static_cast<size_t>(end - rest_.data());
  if (size >= PATH_MAX) return ErrnoValue(ENAMETOOLONG);
  std::string text(reinterpret_cast<const char*>(rest_.data()), size);
  rest_.remove_prefix(size + 1);
  return text;
}

ErrnoOr<std::string> RequestReader::TakeName() {
  MSB_ASSIGN_OR_ERRNO(std::string name, TakeText());
  if (name.size() > kMaxNameBytes) return ErrnoValue(ENAMETOOLONG);
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    return ErrnoValue(EINVAL);
  }
  return name;
}

ErrnoOr<absl::Span<const uint8_t>> RequestReader::TakeBytes(size_t size) {
  if (rest_.size() < size) return ErrnoValue(EINVAL);
  const absl::Span<const uint8_t> bytes = rest_.first(size);
  rest_.remove_prefix(size);
  return bytes;
}

void ReplyBuffer::AppendBytes(const void* bytes, size_t size) {
  MSB_CHECK(size <= room());
  std::memcpy(Tail(), bytes, size);
  size_ += size;
}

absl::Span<const uint8_t> ReplyBuffer::Finish(uint64_t unique, Errno error) {
  if (error != Errno::kNone) Clear();
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + in_place_ + size_);
  header.error = -static_cast<int>(error);
  header.unique = unique;
  std::memcpy(bytes_.get(), &header, sizeof(header));
  return absl::MakeConstSpan(bytes_.get(), sizeof(header) + size_);
}

}  // namespace msb
