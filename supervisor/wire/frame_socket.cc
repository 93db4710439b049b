// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/wire/frame_socket.h"

#include <google/protobuf/message_lite.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

// One for each loop's thread: it is empty again before the next socket is read.
char* ReadBuffer() {
  thread_local const std::unique_ptr<char[]> buffer(new char[kReadBytes]);
  return buffer.get();
}

}  // namespace

std::shared_ptr<FrameSocket> FrameSocket::Serve(EventLoop& loop, UniqueFd fd, Handler handler) {
  std::shared_ptr<FrameSocket> socket(new FrameSocket(loop, std::move(fd), std::move(handler)));
  socket->UpdateWatch();
  return socket;
}

FrameSocket::FrameSocket(EventLoop& loop, UniqueFd fd, Handler handler)
    : loop_(loop), fd_(std::move(fd)), handler_(std::make_shared<Handler>(std::move(handler))) {}

FrameSocket::~FrameSocket() { Close(); }

absl::Status FrameSocket::Send(const google::protobuf::MessageLite& message) {
  if (closed()) return absl::OkStatus();
  const size_t size = message.ByteSizeLong();
  if (size > kMaxFrameBytes) {
    return MakeError(Reason::kFrameTooLarge, absl::StrCat("a message of ", size, " bytes; at most ",
                                                          kMaxFrameBytes, " can be sent"));
  }
  std::string frame;
  frame.reserve(kFrameHeaderBytes + size);
  const auto header = EncodeFrameHeader(static_cast<uint32_t>(size));
  frame.append(header.data(), header.size());
  message.AppendPartialToString(&frame);
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  if (queue_.size() == 1) Flush();
  return absl::OkStatus();
}

void FrameSocket::SetReading(bool reading) {
  if (reading_ == reading || closed()) return;
  reading_ = reading;
  UpdateWatch();
  if (!reading_ || delivering_) return;
  // Frames that came before the pause wait in the reader, and no event will tell of them.
  loop_.Post([self = shared_from_this()] {
    if (self->DeliverFrames() && self->hung_up_) self->Receive();
  });
}

void FrameSocket::Close() {
  Unregister();
  fd_.Reset();
  DropQueue();
  handler_.reset();
}

void FrameSocket::Unregister() {
  if (registered_) loop_.Unwatch(fd_.get());
  registered_ = false;
  watched_ = 0;
}

void FrameSocket::DropQueue() {
  queue_.clear();
  front_sent_ = 0;
  queued_bytes_ = 0;
}

void FrameSocket::UpdateWatch() {
  // A hang-up is told even to who asks for nothing, again and again: see OnReady.
  if (closed() || hung_up_) return;
  const uint32_t wanted = (reading_ ? EPOLLIN : 0u) | (queue_.empty() ? 0u : EPOLLOUT);
  if (registered_ && wanted == watched_) return;
  const absl::Status status =
      registered_ ? loop_.Modify(fd_.get(), wanted)
                  : loop_.Watch(fd_.get(), wanted, [weak = weak_from_this()](uint32_t events) {
                      if (const auto self = weak.lock()) self->OnReady(events);
                    });
  if (!status.ok()) return End(status);
  registered_ = true;
  watched_ = wanted;
}

void FrameSocket::OnReady(uint32_t events) {
  if ((events & EPOLLOUT) != 0) Flush();
  if (closed()) return;
  if (reading_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) return Receive();
  if ((events & (EPOLLHUP | EPOLLERR)) == 0) return;
  // The peer is gone, but what it sent is still to be asked for: SetReading goes on.
  hung_up_ = true;
  DropQueue();
  Unregister();
}

void FrameSocket::Receive() {
  const std::shared_ptr<FrameSocket> self = shared_from_this();  // a handler may let go of it
  while (!closed() && reading_) {
    const ssize_t got = ::recv(fd_.get(), ReadBuffer(), kReadBytes, MSG_DONTWAIT);
    if (got > 0) {
      reader_.Append(absl::string_view(ReadBuffer(), static_cast<size_t>(got)));
      // One read a turn, so that the loop's other sockets get theirs.
      if (!DeliverFrames() || !hung_up_) return;
    } else if (got == 0) {
      const bool cut = reader_.buffered() > 0;
      return End(cut ? MakeError(Reason::kFrameTruncated, "the stream ended inside a frame")
                     : absl::OkStatus());
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      return End(absl::ErrnoToStatus(errno, "read from a socket"));
    }
  }
}

bool FrameSocket::DeliverFrames() {
  const std::shared_ptr<FrameSocket> self = shared_from_this();
  const std::shared_ptr<Handler> handler = handler_;
  delivering_ = true;
  while (!closed() && reading_) {
    const auto frame = reader_.Next();
    if (!frame.ok()) {
      delivering_ = false;
      End(frame.status());
      return false;
    }
    if (!*frame) break;
    handler->on_frame(**frame);
  }
  delivering_ = false;
  return !closed() && reading_;
}

void FrameSocket::Flush() {
  const std::shared_ptr<Handler> handler = handler_;
  while (!queue_.empty()) {
    const std::string& front = queue_.front();
    const ssize_t sent = ::send(fd_.get(), front.data() + front_sent_, front.size() - front_sent_,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) {
      // What the peer sent before it went says more than this error: reading finds the end.
      DropQueue();
      break;
    }
    front_sent_ += static_cast<size_t>(sent);
    queued_bytes_ -= static_cast<size_t>(sent);
    if (front_sent_ < front.size()) continue;
    queue_.pop_front();
    front_sent_ = 0;
  }
  UpdateWatch();
  if (!closed() && queued_bytes_ <= handler->low_water_bytes && handler->on_drained) {
    handler->on_drained();
  }
}

void FrameSocket::End(absl::Status status) {
  const std::shared_ptr<Handler> handler = handler_;
  Close();
  if (handler && handler->on_closed) handler->on_closed(std::move(status));
}

}  // namespace msb
