// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/link/frame_stream.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace msb::net {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kBufferBytes = 512 << 10;
constexpr int kSocketBufferBytes = 1 << 20;
constexpr size_t kMaxBatchFrames = 64;
// Of one turn, so that sockets and timers get theirs.
constexpr int kReadsPerTurn = 4;

}  // namespace

FrameStream::FrameStream(EventLoop& loop, UniqueFd socket, Handlers handlers)
    : loop_(loop),
      socket_(std::move(socket)),
      handlers_(std::move(handlers)),
      buffer_(kBufferBytes) {
  const int size = kSocketBufferBytes;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

FrameStream::~FrameStream() {
  loop_.Cancel(flush_timer_);
  loop_.Cancel(drained_timer_);
  if (socket_.valid()) loop_.Unwatch(socket_.get());
}

absl::Status FrameStream::Start() {
  watched_ = EPOLLIN;
  return loop_.Watch(socket_.get(), watched_, [this](uint32_t events) { OnEvents(events); });
}

void FrameStream::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    writable_ = true;
    Flush();
  }
  if (!socket_.valid()) return;
  if ((events & EPOLLIN) != 0 && reading_) return ReadFrames();
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) End(absl::UnavailableError("the machine hung up"));
}

void FrameStream::ReadFrames() {
  for (int i = 0; i < kReadsPerTurn && socket_.valid() && reading_; ++i) {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const ssize_t got =
        ::recv(socket_.get(), buffer_.data() + end_, buffer_.size() - end_, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got <= 0) return End(absl::UnavailableError("the machine hung up"));
    end_ += static_cast<size_t>(got);
    const size_t room = buffer_.size() - end_;
    HandleBuffered();
    if (room > 0) break;  // the socket is empty
  }
  if (socket_.valid()) handlers_.on_batch_end();
}

size_t FrameStream::HandleBuffered() {
  size_t frames = 0;
  while (socket_.valid() && reading_ && end_ - begin_ >= kLengthBytes) {
    const size_t length = Load32(buffer_.data() + begin_);
    if (length > kMaxFrameBytes) {
      End(MakeError(Reason::kGuestViolation, "a frame of an impossible length"));
      break;
    }
    if (end_ - begin_ < kLengthBytes + length) break;
    const Bytes frame(buffer_.data() + begin_ + kLengthBytes, length);
    begin_ += kLengthBytes + length;
    ++frames;
    handlers_.on_frame(frame);
  }
  return frames;
}

void FrameStream::Send(Frame frame) {
  if (!socket_.valid() || frame.size() > kMaxFrameBytes) return;
  if (queued_bytes_ + kLengthBytes + frame.size() > kMaxQueuedBytes) return;
  Queued& queued = queue_.emplace_back();
  Store32(static_cast<uint32_t>(frame.size()), queued.length);
  queued_bytes_ += kLengthBytes + frame.size();
  queued.frame = std::move(frame);
  if (queue_.size() >= kMaxBatchFrames && writable_) return Flush();
  FlushLater();
}

void FrameStream::FlushLater() {
  if (flush_planned_) return;
  flush_planned_ = true;
  flush_timer_ = loop_.After(absl::ZeroDuration(), [this] {
    flush_planned_ = false;
    Flush();
  });
}

// Not from within Flush, which those who are told may have called.
void FrameStream::TellDrainedLater() {
  if (std::exchange(drained_planned_, true)) return;
  drained_timer_ = loop_.After(absl::ZeroDuration(), [this] {
    drained_planned_ = false;
    handlers_.on_drained();
  });
}

void FrameStream::Flush() {
  const bool was_congested = congested();
  while (!queue_.empty() && writable_ && socket_.valid()) {
    std::vector<iovec> parts;
    size_t skip = sent_of_first_;
    const auto append = [&](const uint8_t* data, size_t size) {
      const size_t skipped = std::min(skip, size);
      skip -= skipped;
      if (size > skipped) parts.push_back({const_cast<uint8_t*>(data) + skipped, size - skipped});
    };
    size_t total = 0;
    for (size_t i = 0; i < queue_.size() && i < kMaxBatchFrames; ++i) {
      const Queued& queued = queue_[i];
      append(queued.length, kLengthBytes);
      append(queued.frame.header, queued.frame.header_size);
      append(queued.frame.payload.block.get() + queued.frame.payload.offset,
             queued.frame.payload.size);
    }
    for (const iovec& part : parts) total += part.iov_len;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return End(absl::UnavailableError("the machine hung up"));
    size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
    if (taken < total) writable_ = false;
    queued_bytes_ -= taken;
    taken += sent_of_first_;
    while (!queue_.empty() && taken >= kLengthBytes + queue_.front().frame.size()) {
      taken -= kLengthBytes + queue_.front().frame.size();
      queue_.pop_front();
    }
    sent_of_first_ = taken;
  }
  if (was_congested && !congested()) TellDrainedLater();
  UpdateWatch();
}

void FrameStream::PauseReading() {
  reading_ = false;
  UpdateWatch();
}

void FrameStream::ResumeReading() {
  reading_ = true;
  UpdateWatch();
  // What was read already makes no event.
  HandleBuffered();
  if (socket_.valid()) handlers_.on_batch_end();
}

void FrameStream::UpdateWatch() {
  if (!socket_.valid()) return;
  const uint32_t events = (reading_ ? uint32_t{EPOLLIN} : 0) | (writable_ ? 0 : uint32_t{EPOLLOUT});
  if (events == std::exchange(watched_, events)) return;
  const absl::Status modified = loop_.Modify(socket_.get(), events);
  if (!modified.ok()) End(modified);
}

void FrameStream::End(absl::Status why) {
  if (!socket_.valid()) return;
  loop_.Unwatch(socket_.get());
  socket_.Reset();
  queue_.clear();
  handlers_.on_end(std::move(why));
}

}  // namespace msb::net
