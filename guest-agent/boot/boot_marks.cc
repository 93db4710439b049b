// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/boot_marks.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "base/frames.h"
#include "base/log.h"
#include "guest-agent/console.h"
#include "guest-agent/link/vsock.h"

namespace msb {
namespace {

using agent::v1::BootMark;

bool WaitFor(int fd, short events, absl::Duration limit) {
  pollfd ready{.fd = fd, .events = events, .revents = 0};
  return ::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) > 0;
}

}  // namespace

void BootMarks::Connect() {
  absl::StatusOr<UniqueFd> socket = ConnectToHost(agent::v1::WIRE_MARK_PORT);
  if (socket.ok()) {
    socket_ = *std::move(socket);
  } else {
    WriteConsole(socket.status().message());
  }
}

void BootMarks::Add(BootMark::Stage stage, absl::string_view detail) {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  BootMark mark;
  mark.set_stage(stage);
  mark.set_guest_boottime_ns(static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                             static_cast<uint64_t>(now.tv_nsec));
  mark.set_detail(EscapeForLog(detail));
  AppendFrame(mark.SerializeAsString(), waiting_);
}

bool BootMarks::TrySend() {
  const ssize_t sent =
      ::send(socket_.get(), waiting_.data(), waiting_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) return false;
  // A few hundred bytes always fit. A host that has refused them does not want them.
  waiting_.clear();
  return true;
}

void BootMarks::SendFrom(EventLoop& loop) {
  if (!socket_.valid()) return waiting_.clear();
  if (TrySend()) return socket_.Reset();
  const absl::Status watched = loop.Watch(socket_.get(), EPOLLOUT, [this, &loop](uint32_t) {
    TrySend();
    loop.Unwatch(socket_.get());
    socket_.Reset();
  });
  if (!watched.ok()) socket_.Reset();
}

void BootMarks::SendNow(absl::Duration limit) {
  if (!socket_.valid()) Connect();
  if (!socket_.valid()) return;
  if (!TrySend()) {
    if (!WaitFor(socket_.get(), POLLOUT, limit)) return;
    TrySend();
  }
  // The host has read it all once it has closed in answer to our end of the stream.
  ::shutdown(socket_.get(), SHUT_WR);
  WaitFor(socket_.get(), POLLIN, limit);
  socket_.Reset();
}

}  // namespace msb
