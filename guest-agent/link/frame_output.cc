// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/frame_output.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "guest-agent/link/wire.h"

namespace msb {
namespace {

constexpr size_t kMaxPieces = 16;

}  // namespace

void FrameOutput::Append(const agent::v1::AgentFrame& frame) { AppendBytes(EncodeFrame(frame)); }

void FrameOutput::AppendBytes(std::string bytes) {
  bytes_ += bytes.size();
  if (!segments_.empty() && segments_.back().ring == nullptr) {
    segments_.back().bytes += bytes;
    segments_.back().size += bytes.size();
    return;
  }
  Segment segment;
  segment.size = bytes.size();
  segment.bytes = std::move(bytes);
  segments_.push_back(std::move(segment));
}

void FrameOutput::AppendOutput(OutputStream stream, const OutputRing& ring, uint64_t offset,
                               size_t size) {
  AppendBytes(OutputFrameHeader(stream, offset, size));
  bytes_ += size;
  segments_.push_back(Segment{.ring = &ring, .offset = offset, .size = size});
}

FrameOutput::FlushResult FrameOutput::Flush(int socket) {
  while (!segments_.empty()) {
    iovec pieces[kMaxPieces];
    size_t count = 0;
    for (const Segment& segment : segments_) {
      if (count + 2 > kMaxPieces) break;
      if (segment.ring == nullptr) {
        pieces[count++] = {.iov_base = const_cast<char*>(segment.bytes.data()) + segment.offset,
                           .iov_len = segment.size};
        continue;
      }
      const OutputRing::Span span = segment.ring->Read(segment.offset, segment.size);
      for (int i = 0; i < span.count; ++i) pieces[count++] = span.pieces[i];
    }
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      Advance(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
      return FlushResult::kWouldBlock;
    } else if (errno != EINTR) {
      return FlushResult::kGone;
    }
  }
  return FlushResult::kAllSent;
}

void FrameOutput::Advance(size_t sent) {
  bytes_ -= sent;
  while (sent > 0) {
    Segment& front = segments_.front();
    const size_t part = std::min(sent, front.size);
    front.offset += part;
    front.size -= part;
    sent -= part;
    if (front.size == 0) segments_.pop_front();
  }
}

size_t FrameOutput::Waiting(const OutputRing& ring) const {
  size_t waiting = 0;
  for (const Segment& segment : segments_) {
    if (segment.ring == &ring) waiting += segment.size;
  }
  return waiting;
}

void FrameOutput::CopyRings() {
  for (Segment& segment : segments_) {
    if (segment.ring == nullptr) continue;
    const OutputRing::Span span = segment.ring->Read(segment.offset, segment.size);
    segment.bytes.clear();
    for (int i = 0; i < span.count; ++i) {
      segment.bytes.append(static_cast<const char*>(span.pieces[i].iov_base),
                           span.pieces[i].iov_len);
    }
    segment.ring = nullptr;
    segment.offset = 0;
  }
}

}  // namespace msb
