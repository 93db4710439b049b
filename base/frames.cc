// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/frames.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/wait_for.h"

namespace msb {
namespace {

absl::Status CheckFrameSize(size_t size, size_t max) {
  if (size <= max) return absl::OkStatus();
  return MakeError(Reason::kFrameTooLarge,
                   absl::StrCat("a frame of ", size, " bytes; at most ", max, " are taken"));
}

// Reads exactly `size` bytes; false when the stream ended before the first of them.
absl::StatusOr<bool> ReadExactly(int fd, char* out, size_t size, absl::Time deadline) {
  size_t done = 0;
  while (done < size) {
    MSB_RETURN_IF_ERROR(WaitFor(fd, POLLIN, deadline));
    const ssize_t got = ::read(fd, out + done, size - done);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (got == 0) {
      if (done == 0) return false;
      return MakeError(Reason::kFrameTruncated, "the stream ended inside a frame");
    } else if (errno != EINTR && errno != EAGAIN) {
      return absl::ErrnoToStatus(errno, "read a frame");
    }
  }
  return true;
}

// A socket whose peer is gone must not raise SIGPIPE; a pipe has no send().
ssize_t WriteQuietly(int fd, const char* data, size_t size) {
  const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  return ::write(fd, data, size);
}

}  // namespace

std::array<char, kFrameHeaderBytes> EncodeFrameHeader(uint32_t payload_bytes) {
  std::array<char, kFrameHeaderBytes> header;
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    header[i] = static_cast<char>((payload_bytes >> (8 * i)) & 0xff);
  }
  return header;
}

uint32_t DecodeFrameHeader(absl::string_view bytes) {
  uint32_t size = 0;
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    size |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return size;
}

void AppendFrame(absl::string_view payload, std::string& out) {
  const auto header = EncodeFrameHeader(static_cast<uint32_t>(payload.size()));
  out.append(header.data(), header.size());
  out.append(payload.data(), payload.size());
}

std::string BulkFrameHeader(int field, size_t size) {
  std::string fields(1, static_cast<char>(field << 3 | 2));
  for (size_t rest = size; true; rest >>= 7) {
    fields.push_back(static_cast<char>(rest < 0x80 ? rest : rest | 0x80));
    if (rest < 0x80) break;
  }
  const auto length = EncodeFrameHeader(static_cast<uint32_t>(fields.size() + size));
  return std::string(length.data(), length.size()) + fields;
}

bool SendBoth(int socket, absl::string_view first, absl::string_view second) {
  while (!first.empty() || !second.empty()) {
    iovec pieces[2] = {
        {.iov_base = const_cast<char*>(first.data()), .iov_len = first.size()},
        {.iov_base = const_cast<char*>(second.data()), .iov_len = second.size()},
    };
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    const size_t of_first = std::min(static_cast<size_t>(sent), first.size());
    first.remove_prefix(of_first);
    second.remove_prefix(static_cast<size_t>(sent) - of_first);
  }
  return true;
}

void FrameReader::Append(absl::string_view bytes) {
  if (consumed_ > 0) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<std::optional<absl::string_view>> FrameReader::Next() {
  const absl::string_view held = absl::string_view(buffer_).substr(consumed_);
  if (held.size() < kFrameHeaderBytes) return std::nullopt;
  const uint32_t size = DecodeFrameHeader(held);
  MSB_RETURN_IF_ERROR(CheckFrameSize(size, max_frame_bytes_));
  if (held.size() - kFrameHeaderBytes < size) return std::nullopt;
  consumed_ += kFrameHeaderBytes + size;
  return held.substr(kFrameHeaderBytes, size);
}

absl::StatusOr<std::optional<std::string>> ReadFrame(int fd, absl::Time deadline,
                                                     size_t max_frame_bytes) {
  char header[kFrameHeaderBytes];
  MSB_ASSIGN_OR_RETURN(const bool more, ReadExactly(fd, header, sizeof(header), deadline));
  if (!more) return std::nullopt;
  const uint32_t size = DecodeFrameHeader(absl::string_view(header, sizeof(header)));
  MSB_RETURN_IF_ERROR(CheckFrameSize(size, max_frame_bytes));
  std::string payload(size, '\0');
  if (size == 0) return payload;
  MSB_ASSIGN_OR_RETURN(const bool whole, ReadExactly(fd, payload.data(), size, deadline));
  if (!whole) return MakeError(Reason::kFrameTruncated, "the stream ended behind a frame's length");
  return payload;
}

absl::Status WriteFrame(int fd, absl::string_view payload, absl::Time deadline) {
  std::string frame;
  frame.reserve(kFrameHeaderBytes + payload.size());
  AppendFrame(payload, frame);
  size_t done = 0;
  while (done < frame.size()) {
    const ssize_t sent = WriteQuietly(fd, frame.data() + done, frame.size() - done);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      MSB_RETURN_IF_ERROR(WaitFor(fd, POLLOUT, deadline));
    } else if (errno != EINTR) {
      return absl::ErrnoToStatus(errno, "write a frame");
    }
  }
  return absl::OkStatus();
}

}  // namespace msb
