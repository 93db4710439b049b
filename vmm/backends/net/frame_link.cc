// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/backends/net/frame_link.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace msb {
namespace {

// A few of the largest frames: one read takes them all.
constexpr size_t kBufferBytes = 256 << 10;
static_assert(kBufferBytes >= 2 * (FrameLink::kLengthBytes + FrameLink::kMaxFrameBytes));
// What the kernel may hold on the way; it takes less where the host's limit is lower.
constexpr int kSocketBufferBytes = 1 << 20;

uint32_t LengthAt(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

FrameLink::FrameLink(EventLoop& loop, FrameLinkObserver& observer)
    : loop_(loop), observer_(observer) {}

FrameLink::~FrameLink() {
  loop_.Cancel(report_);
  if (listener_.valid()) loop_.Unwatch(listener_.get());
  if (connection_.valid()) loop_.Unwatch(connection_.get());
}

absl::Status FrameLink::Listen(UniqueFd listener) {
  MSB_CHECK(!listener_.valid());
  MSB_RETURN_IF_ERROR(
      loop_.Watch(listener.get(), EPOLLIN, [this](uint32_t) { OnListenerReady(); }));
  listener_ = std::move(listener);
  return absl::OkStatus();
}

void FrameLink::OnListenerReady() {
  absl::StatusOr<UniqueFd> socket = AcceptUnix(listener_.get(), Blocking::kNo);
  if (socket.ok()) Take(*std::move(socket));
}

void FrameLink::Take(UniqueFd connection) {
  if (connection_.valid()) Drop("replaced by a new one");
  const int size = kSocketBufferBytes;
  ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
  watched_events_ = reading_ == Reading::kOn ? uint32_t{EPOLLIN} : 0;
  const absl::Status watched =
      loop_.Watch(connection.get(), watched_events_, [this](uint32_t events) { OnEvents(events); });
  if (!watched.ok()) {
    MSB_LOG(kError) << "net: a link cannot be watched: " << watched.message();
    return;
  }
  connection_ = std::move(connection);
  buffer_.resize(kBufferBytes);
  observer_.OnLinkChanged();
}

void FrameLink::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    want_write_ = false;
    UpdateWatch();
    observer_.OnWritable();
  }
  if (!connection_.valid()) return;
  if ((events & EPOLLIN) != 0 && reading_ == Reading::kOn) return observer_.OnFrames();
  // Nobody reads, so that nobody would see its end.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) Drop("closed by the other end");
}

size_t FrameLink::Send(absl::Span<const iovec> bytes) {
  if (!connection_.valid()) return 0;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(bytes.data());
  message.msg_iovlen = bytes.size();
  size_t total = 0;
  for (const iovec& part : bytes) total += part.iov_len;
  ssize_t sent;
  do {
    sent = ::sendmsg(connection_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EAGAIN) {
    Drop("sending failed");
    return 0;
  }
  const size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
  if (taken < total) {
    want_write_ = true;
    UpdateWatch();
  }
  return taken;
}

absl::Span<const uint8_t> FrameLink::Peek() {
  while (connection_.valid()) {
    if (end_ - begin_ >= kLengthBytes) {
      const size_t length = LengthAt(buffer_.data() + begin_);
      if (length < kMinFrameBytes || length > kMaxFrameBytes) {
        Drop("a frame of an impossible length");
        break;
      }
      if (end_ - begin_ >= kLengthBytes + length) {
        return absl::MakeConstSpan(buffer_.data() + begin_ + kLengthBytes, length);
      }
    }
    if (!Fill()) break;
  }
  return {};
}

void FrameLink::Consume() {
  begin_ += kLengthBytes + LengthAt(buffer_.data() + begin_);
  MSB_CHECK(begin_ <= end_);
}

// False when nothing was read.
bool FrameLink::Fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  iovec part{buffer_.data() + end_, buffer_.size() - end_};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t got = ::recvmsg(connection_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got > 0) {
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
      Take(UniqueFd(fd));
      return true;
    }
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    Drop("closed by the other end");
    return false;
  }
  end_ += static_cast<size_t>(got);
  return true;
}

void FrameLink::SetReading(Reading reading) {
  reading_ = reading;
  if (connection_.valid()) UpdateWatch();
}

void FrameLink::UpdateWatch() {
  const uint32_t events =
      (reading_ == Reading::kOn ? uint32_t{EPOLLIN} : 0) | (want_write_ ? uint32_t{EPOLLOUT} : 0);
  if (events == std::exchange(watched_events_, events)) return;
  if (!loop_.Modify(connection_.get(), events).ok()) Drop("it cannot be watched");
}

void FrameLink::Drop(const char* why) {
  MSB_LOG(kInfo) << "net: the link is down: " << why;
  loop_.Unwatch(connection_.get());
  connection_.Reset();
  begin_ = end_ = 0;
  want_write_ = false;
  // Behind the call that found it.
  loop_.Cancel(report_);
  report_ = loop_.After(absl::ZeroDuration(), [this] { observer_.OnLinkChanged(); });
}

}  // namespace msb
