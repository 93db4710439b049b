// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/socket_stream.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace msb {
namespace {

constexpr uint32_t kAlways = EPOLLIN | EPOLLRDHUP | EPOLLET;

uint32_t WhatIsReady(uint32_t events) {
  uint32_t what = 0;
  if ((events & EPOLLIN) != 0) what |= HostStream::kReadable;
  if ((events & EPOLLOUT) != 0) what |= HostStream::kWritable;
  if ((events & EPOLLRDHUP) != 0) what |= HostStream::kInputEnds;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) what |= HostStream::kGone;
  return what;
}

}  // namespace

absl::Status SocketStream::Watch(Ready ready) {
  return loop_.Watch(fd_.get(), kAlways,
                     [ready = std::move(ready)](uint32_t events) { ready(WhatIsReady(events)); });
}

absl::Status SocketStream::SetWriteInterest(WriteInterest interest) {
  if (interest == interest_) return absl::OkStatus();
  interest_ = interest;
  return loop_.Modify(fd_.get(), interest == WriteInterest::kOn ? kAlways | EPOLLOUT : kAlways);
}

// These two are the hot path, and EAGAIN is an answer here: errno is read without a Status around
// it.
HostStream::Moved SocketStream::Read(absl::Span<const iovec> into) {
  while (true) {
    const ssize_t got = ::readv(fd_.get(), into.data(), static_cast<int>(into.size()));
    if (got > 0) return {.bytes = static_cast<size_t>(got)};
    if (got == 0) return {.state = State::kEnded};
    if (errno == EAGAIN) return {.state = State::kWouldBlock};
    if (errno == ECONNRESET) return {.state = State::kEnded};  // closed with our bytes unread
    if (errno != EINTR) return {.state = State::kBroken};
  }
}

HostStream::Moved SocketStream::Write(absl::Span<const iovec> from) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(from.data());
  message.msg_iovlen = std::min<size_t>(from.size(), IOV_MAX);
  while (true) {
    const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return {.bytes = static_cast<size_t>(sent)};
    if (errno == EAGAIN) return {.state = State::kWouldBlock};
    if (errno == EPIPE || errno == ECONNRESET) return {.state = State::kEnded};
    if (errno != EINTR) return {.state = State::kBroken};
  }
}

// Both fail only when the peer is gone already, which is what they would have brought about.
void SocketStream::CloseRead() { ::shutdown(fd_.get(), SHUT_RD); }
void SocketStream::CloseWrite() { ::shutdown(fd_.get(), SHUT_WR); }

}  // namespace msb
