// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Frames (base/frames.h), as they arrive in pieces, of a protocol that carries bulk: some fields of
// its messages are chunks of it, each alone in its message.
//
// Like FrameReader, but chunks are handed on piece by piece without waiting for their frame's end,
// so that a connection holds 64 KiB however large the peer's chunks are, and bulk is not copied on
// its way.

#ifndef MSB_BASE_FRAME_INPUT_H_
#define MSB_BASE_FRAME_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/frames.h"

namespace msb {

class FrameInput {
 public:
  // In place of a field's number: a whole message, serialised.
  static constexpr int kMessage = 0;
  struct Item {
    int field;
    absl::string_view bytes;  // of a chunk: a piece of it, at least one byte
  };
  enum class ReadResult { kSome, kWouldBlock, kEnd, kBroken };

  // `bulk_fields`, numbers of 1..15 of length-delimited fields, outlive this.
  explicit FrameInput(absl::Span<const int> bulk_fields, size_t max_frame_bytes = kMaxFrameBytes)
      : bulk_fields_(bulk_fields), max_frame_bytes_(max_frame_bytes) {}

  // Enough to know a frame by, and a chunk's length.
  static constexpr size_t kHeadBytes = kFrameHeaderBytes + 6;

  // One read(2) from `fd`, of at most `most` bytes. Views of earlier items end here. Call only
  // while Peek has nothing.
  ReadResult ReadFrom(int fd, size_t most = SIZE_MAX);

  // Bytes of the chunk at hand when none of them has been read: whoever wants them elsewhere reads
  // some of them there, and says how many.
  size_t unread_chunk() const { return end_ == begin_ ? chunk_left_ : 0; }
  void SkipUnread(size_t size) { chunk_left_ -= size; }
  // Bytes of the chunk at hand, read or not.
  size_t chunk_left() const { return chunk_left_; }

  // The item at hand; nullopt when more has to be read. kFrameTooLarge: the stream is lost.
  absl::StatusOr<std::optional<Item>> Peek();

  // Removes `size` bytes of the item that Peek gave: any part of a chunk, all of a message. Its
  // view stays valid until ReadFrom.
  void Consume(size_t size);

  // Whether a frame has begun and not ended.
  bool inside_frame() const { return chunk_left_ > 0 || end_ > begin_; }

 private:
  bool BeginChunk(absl::string_view payload_start, size_t payload_size);
  void MakeRoom();

  const absl::Span<const int> bulk_fields_;
  const size_t max_frame_bytes_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t wanted_capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  int chunk_field_ = kMessage;
  size_t chunk_left_ = 0;  // bytes of the current chunk that are not consumed
};

}  // namespace msb

#endif  // MSB_BASE_FRAME_INPUT_H_
