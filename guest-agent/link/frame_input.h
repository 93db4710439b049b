// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The host's frames, as they arrive in pieces.
//
// Like base's FrameReader, but chunks of bulk (stdin, file data) are handed on piece by piece
// without waiting for their frame's end, so that a connection holds 64 KiB however large the host's
// chunks are, and bulk is not copied on its way.

#ifndef MSB_GUEST_AGENT_LINK_FRAME_INPUT_H_
#define MSB_GUEST_AGENT_LINK_FRAME_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/frames.h"

namespace msb {

class FrameInput {
 public:
  enum class Kind { kMessage, kStdin, kData };
  struct Item {
    Kind kind;
    // kMessage: a whole serialised HostFrame. Otherwise a piece of a chunk, at least one byte.
    absl::string_view bytes;
  };
  enum class ReadResult { kSome, kWouldBlock, kEnd, kBroken };

  explicit FrameInput(size_t max_frame_bytes = kMaxFrameBytes)
      : max_frame_bytes_(max_frame_bytes) {}

  // Enough to know a frame by, and a chunk's length.
  static constexpr size_t kHeadBytes = kFrameHeaderBytes + 6;

  // One read(2) from `fd`, of at most `most` bytes. Views of earlier items end here. Call only
  // while Peek has nothing.
  ReadResult ReadFrom(int fd, size_t most = SIZE_MAX);

  // Bytes of the chunk at hand when none of them has been read: whoever wants them elsewhere reads
  // some of them there, and says how many.
  size_t unread_chunk() const { return end_ == begin_ ? chunk_left_ : 0; }
  void SkipUnread(size_t size) { chunk_left_ -= size; }

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

  const size_t max_frame_bytes_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t wanted_capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  Kind chunk_kind_ = Kind::kData;
  size_t chunk_left_ = 0;  // bytes of the current chunk that are not consumed
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_FRAME_INPUT_H_
