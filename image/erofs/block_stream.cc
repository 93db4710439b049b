// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/erofs/block_stream.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "image/write_error.h"

namespace msb::image {
namespace {

constexpr size_t kBufferBytes = size_t{256} << 10;
// A block's number has 32 bits, and the last is no block.
constexpr uint64_t kMaxFormatBytes = uint64_t{erofs::kHole} << erofs::kBlockBits;

bool IsZero(absl::string_view bytes) {
  // The first byte is zero, and each equals the one before it.
  return bytes.empty() ||
         (bytes[0] == '\0' && bytes.substr(1) == bytes.substr(0, bytes.size() - 1));
}

absl::Status WriteAll(int fd, uint64_t offset, absl::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = Syscall("write the layer's file system", [&] {
      return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    });
    if (!written.ok()) return WriteError("a layer", written.status());
    offset += static_cast<uint64_t>(*written);
    bytes.remove_prefix(static_cast<size_t>(*written));
  }
  return absl::OkStatus();
}

}  // namespace

BlockStream::BlockStream(int fd, const ByteLimit& limit)
    : fd_(fd), limit_(Nearest(limit, {kMaxFormatBytes, "of the format"})) {}

absl::Status BlockStream::CheckRoom(uint64_t count) const {
  if (position() <= limit_.bytes && count <= limit_.bytes - position()) return absl::OkStatus();
  return limit_.Exceeded("the layer's file system has");
}

absl::Status BlockStream::Append(absl::string_view bytes) {
  MSB_RETURN_IF_ERROR(CheckRoom(bytes.size()));
  while (!bytes.empty()) {
    const size_t step = std::min(bytes.size(), kBufferBytes - buffer_.size());
    absl::StrAppend(&buffer_, bytes.substr(0, step));
    bytes.remove_prefix(step);
    if (buffer_.size() == kBufferBytes) MSB_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status BlockStream::AppendZeros(uint64_t count) {
  MSB_RETURN_IF_ERROR(CheckRoom(count));
  const uint64_t fits = std::min<uint64_t>(count, kBufferBytes - buffer_.size());
  buffer_.append(fits, '\0');
  if (fits == count) return absl::OkStatus();
  MSB_RETURN_IF_ERROR(Flush());
  buffer_start_ += count - fits;
  return absl::OkStatus();
}

absl::Status BlockStream::FillBlock() {
  const uint64_t used = position() % erofs::kBlockBytes;
  return used == 0 ? absl::OkStatus() : AppendZeros(erofs::kBlockBytes - used);
}

absl::Status BlockStream::Flush() {
  if (!IsZero(buffer_)) MSB_RETURN_IF_ERROR(WriteAll(fd_, buffer_start_, buffer_));
  buffer_start_ += buffer_.size();
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status BlockStream::Finish() {
  MSB_RETURN_IF_ERROR(FillBlock());
  MSB_RETURN_IF_ERROR(Flush());
  const auto sized = Syscall("size the layer's file system",
                             [&] { return ::ftruncate(fd_, static_cast<off_t>(buffer_start_)); });
  if (!sized.ok()) return WriteError("a layer", sized.status());
  return absl::OkStatus();
}

absl::Status BlockStream::WriteAt(uint64_t offset, absl::string_view bytes) {
  return WriteAll(fd_, offset, bytes);
}

}  // namespace msb::image
