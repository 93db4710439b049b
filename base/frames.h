// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The wire format between our own processes: a 4-byte little-endian length, then that many bytes of
// one serialised protobuf message. A length of 0 is a valid, empty message.

#ifndef MSB_BASE_FRAMES_H_
#define MSB_BASE_FRAMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace msb {

inline constexpr size_t kFrameHeaderBytes = 4;
// Room for a 1 MiB chunk of data in its message; a peer that announces more is refused unread.
inline constexpr size_t kMaxFrameBytes = (1u << 20) + 4096;

std::array<char, kFrameHeaderBytes> EncodeFrameHeader(uint32_t payload_bytes);
// Of the first kFrameHeaderBytes of `bytes`.
uint32_t DecodeFrameHeader(absl::string_view bytes);

// Appends header and payload to `out`.
void AppendFrame(absl::string_view payload, std::string& out);

// Length and beginning of a frame whose message is nothing but `size` bytes in its length-delimited
// field `field` (1..15), which follow: so that bulk goes from where it lies to the socket.
std::string BulkFrameHeader(int field, size_t size);
// All of `first`, then of `second`, to a blocking socket. False when the system refuses, and errno
// says why.
bool SendBoth(int socket, absl::string_view first, absl::string_view second);

// Finds the frames in a stream of bytes that arrives in pieces. Not thread-safe.
class FrameReader {
 public:
  explicit FrameReader(size_t max_frame_bytes = kMaxFrameBytes)
      : max_frame_bytes_(max_frame_bytes) {}

  // Takes over what the peer sent.
  void Append(absl::string_view bytes);

  // The payload of the next whole frame, valid until the next call of either method; nullopt when
  // more bytes are needed. kFrameTooLarge when the header announces more than the maximum: the
  // stream cannot be read any further.
  absl::StatusOr<std::optional<absl::string_view>> Next();

  // Bytes held that no frame has been made of; at end of stream, more than zero means a cut frame.
  size_t buffered() const { return buffer_.size() - consumed_; }

 private:
  size_t max_frame_bytes_;
  std::string buffer_;
  size_t consumed_ = 0;
};

// Blocking forms for a socket or pipe whose peer is one of our own processes. A `deadline` of
// absl::InfiniteFuture() waits for ever. nullopt at a clean end of stream; kFrameTruncated when it
// ends inside a frame; kDeadlineExceeded (no reason) when the deadline passes. They leave the
// descriptor's flags alone and work on blocking and non-blocking ones.
absl::StatusOr<std::optional<std::string>> ReadFrame(int fd, absl::Time deadline,
                                                     size_t max_frame_bytes = kMaxFrameBytes);
absl::Status WriteFrame(int fd, absl::string_view payload, absl::Time deadline);

}  // namespace msb

#endif  // MSB_BASE_FRAMES_H_
