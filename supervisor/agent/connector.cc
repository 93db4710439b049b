// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/agent/connector.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb {
namespace {

constexpr size_t kMaxReplyBytes = 32;  // "OK 4294967295\n" and some
// A full backlog gives no event to wait for. Only a burst of connections meets one.
constexpr absl::Duration kBacklogRetry = absl::Milliseconds(2);

}  // namespace

std::shared_ptr<GuestConnector> GuestConnector::Start(EventLoop& loop, std::string socket_path,
                                                      uint32_t port, absl::Duration timeout,
                                                      Done done) {
  std::shared_ptr<GuestConnector> connector(
      new GuestConnector(loop, std::move(socket_path), port, std::move(done)));
  // The loop keeps the attempt alive: its starter may drop the handle of one that it still wants.
  connector->deadline_ = loop.After(timeout, [connector] { connector->Fail("no answer in time"); });
  loop.Post([connector] { connector->Connect(); });
  return connector;
}

GuestConnector::GuestConnector(EventLoop& loop, std::string socket_path, uint32_t port, Done done)
    : loop_(loop), socket_path_(std::move(socket_path)), port_(port), done_(std::move(done)) {}

GuestConnector::~GuestConnector() { Cancel(); }

void GuestConnector::Cancel() {
  loop_.Cancel(deadline_);
  loop_.Cancel(retry_);
  if (fd_.valid()) loop_.Unwatch(fd_.get());  // does nothing for one that is not watched yet
  fd_.Reset();
  done_ = nullptr;
}

void GuestConnector::Connect() {
  if (!done_) return;
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (socket_path_.size() >= sizeof(address.sun_path)) return Fail("its socket's path is too long");
  socket_path_.copy(address.sun_path, socket_path_.size());
  fd_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_.valid()) return Fail(absl::ErrnoToStatus(errno, "socket").message());
  // Not base's ConnectUnix: of all errors only EAGAIN, a full backlog, goes away by itself, and a
  // Status does not tell it from ECONNREFUSED.
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    fd_.Reset();
    if (error != EAGAIN) return Fail(absl::ErrnoToStatus(error, "connect").message());
    retry_ = loop_.After(kBacklogRetry, [self = shared_from_this()] { self->Connect(); });
    return;
  }
  const std::string request = absl::StrCat("CONNECT ", port_, "\n");
  if (::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return Fail("the VMM does not take connections");
  }
  const absl::Status watched =
      loop_.Watch(fd_.get(), EPOLLIN, [self = shared_from_this()](uint32_t) { self->OnReady(); });
  if (!watched.ok()) Fail(watched.message());
}

void GuestConnector::OnReady() {
  // The guest says nothing before the host has: whatever is behind the line break breaks the
  // protocol.
  char buffer[kMaxReplyBytes];
  const ssize_t got = ::recv(fd_.get(), buffer, kMaxReplyBytes - reply_.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return Fail("the guest refused the connection");
  reply_.append(buffer, static_cast<size_t>(got));
  if (reply_.back() != '\n') {
    if (reply_.size() >= kMaxReplyBytes) Fail("the VMM's answer is none");
    return;
  }
  if (!absl::StartsWith(reply_, "OK ") || reply_.find('\n') != reply_.size() - 1) {
    return Fail("the VMM's answer is none");
  }
  loop_.Unwatch(fd_.get());
  Finish(std::move(fd_));
}

void GuestConnector::Fail(absl::string_view what) {
  Finish(MakeError(Reason::kAgentUnreachable, absl::StrCat("the agent in the guest: ", what)));
}

void GuestConnector::Finish(absl::StatusOr<UniqueFd> result) {
  const std::shared_ptr<GuestConnector> self =
      shared_from_this();  // the watch may hold the last one
  const Done done = std::exchange(done_, nullptr);
  Cancel();
  if (done) done(std::move(result));
}

}  // namespace msb
