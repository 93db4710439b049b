// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/frame_input.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"

namespace msb {
namespace {

// A connection's first buffer holds an ordinary first frame; one that gets more grows to the
// second.
constexpr size_t kFirstCapacity = 4 * 1024;
constexpr size_t kBulkCapacity = 64 * 1024;

// Tag and length in front of a chunk's content: 1 byte, and at most 5 of a 32-bit varint.
constexpr size_t kMaxChunkHeaderBytes = FrameInput::kHeadBytes - kFrameHeaderBytes;

constexpr uint8_t LengthDelimitedTag(int field) { return static_cast<uint8_t>(field << 3 | 2); }

}  // namespace

FrameInput::ReadResult FrameInput::ReadFrom(int fd, size_t most) {
  MakeRoom();
  while (true) {
    const ssize_t got = ::read(fd, buffer_.get() + end_, std::min(most, capacity_ - end_));
    if (got > 0) {
      end_ += static_cast<size_t>(got);
      if (end_ == capacity_) wanted_capacity_ = std::max(wanted_capacity_, kBulkCapacity);
      return ReadResult::kSome;
    }
    if (got == 0) return ReadResult::kEnd;
    if (errno == EAGAIN) return ReadResult::kWouldBlock;
    if (errno != EINTR) return ReadResult::kBroken;
  }
}

// Behind it there is room for at least one byte, and for the rest of a message that has begun.
void FrameInput::MakeRoom() {
  const size_t held = end_ - begin_;
  const size_t wanted = std::max(wanted_capacity_, kFirstCapacity);
  // A large message's buffer is given up once it is empty.
  if (capacity_ < wanted || (held == 0 && capacity_ > kBulkCapacity && wanted < capacity_)) {
    std::unique_ptr<char[]> buffer(new char[wanted]);
    if (held > 0) std::memcpy(buffer.get(), buffer_.get() + begin_, held);
    buffer_ = std::move(buffer);
    capacity_ = wanted;
  } else if (held > 0 && begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, held);
  }
  begin_ = 0;
  end_ = held;
  MSB_CHECK(end_ < capacity_);
}

absl::StatusOr<std::optional<FrameInput::Item>> FrameInput::Peek() {
  while (true) {
    const size_t held = end_ - begin_;
    const char* const start = buffer_.get() + begin_;
    if (chunk_left_ > 0) {
      if (held == 0) return std::nullopt;
      return Item{chunk_field_, absl::string_view(start, std::min(held, chunk_left_))};
    }
    if (held < kFrameHeaderBytes) return std::nullopt;
    const size_t size = DecodeFrameHeader(absl::string_view(start, kFrameHeaderBytes));
    if (size > max_frame_bytes_) {
      return MakeError(Reason::kFrameTooLarge, absl::StrCat("a frame of ", size, " bytes; at most ",
                                                            max_frame_bytes_, " are taken"));
    }
    const absl::string_view payload(start + kFrameHeaderBytes,
                                    std::min(held - kFrameHeaderBytes, size));
    if (payload.size() < std::min(size, kMaxChunkHeaderBytes)) return std::nullopt;
    if (BeginChunk(payload, size)) continue;
    if (payload.size() < size) {
      wanted_capacity_ = std::max(wanted_capacity_, kFrameHeaderBytes + size);
      return std::nullopt;
    }
    return Item{kMessage, payload};
  }
}

// Recognises a frame that is nothing but one chunk, and steps over what stands before its content.
bool FrameInput::BeginChunk(absl::string_view payload, size_t payload_size) {
  if (payload.empty()) return false;
  const auto tag = static_cast<uint8_t>(payload[0]);
  const auto field = absl::c_find_if(
      bulk_fields_, [tag](int number) { return LengthDelimitedTag(number) == tag; });
  if (field == bulk_fields_.end()) return false;
  uint64_t length = 0;
  size_t header = 1;
  for (int shift = 0;; shift += 7) {
    if (header == std::min(payload.size(), kMaxChunkHeaderBytes)) return false;
    const auto byte = static_cast<uint8_t>(payload[header++]);
    length |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  if (header + length != payload_size) return false;
  begin_ += kFrameHeaderBytes + header;
  chunk_field_ = *field;
  chunk_left_ = length;
  return true;
}

void FrameInput::Consume(size_t size) {
  if (chunk_left_ > 0) {
    MSB_CHECK(size <= chunk_left_ && size <= end_ - begin_);
    chunk_left_ -= size;
    begin_ += size;
    return;
  }
  MSB_CHECK(kFrameHeaderBytes + size <= end_ - begin_);
  begin_ += kFrameHeaderBytes + size;
  wanted_capacity_ = std::min(wanted_capacity_, kBulkCapacity);
}

}  // namespace msb
