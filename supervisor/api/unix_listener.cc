// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/unix_listener.h"

#include <grpcpp/server_posix.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"
#include "msb/v1/files.pb.h"
#include "supervisor/api/close_aside.h"
#include "supervisor/api/direct_transfer.h"

namespace msb {
namespace {

constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

// Linux 6.16; the headers of older ones do not have it.
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

// Of clients, for the connections of `listener`. Where the kernel cannot, what passes is closed
// (CloseAside).
void RefuseDescriptors(int listener) {
  const int no = 0;
  ::setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Start(const std::string& path,
                                                                  grpc::Server& server,
                                                                  const ApiContext& api) {
  MSB_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(path));
  MSB_RETURN_IF_ERROR(
      Syscall(absl::StrCat("chmod ", path), [&] { return ::chmod(path.c_str(), 0666); }));
  RefuseDescriptors(listener.get());
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  std::unique_ptr<UnixListener> self(
      new UnixListener(path, std::move(listener), std::move(loop), server, api));
  UnixListener* raw = self.get();
  MSB_RETURN_IF_ERROR(raw->Watch());
  raw->thread_ = std::thread([raw] {
    const absl::Status ended = raw->loop_->Run();
    if (!ended.ok()) {
      MSB_LOG(kError) << "the API's socket takes no more calls: " << ended.message();
    }
  });
  return self;
}

UnixListener::UnixListener(std::string path, UniqueFd listener, std::unique_ptr<EventLoop> loop,
                           grpc::Server& server, const ApiContext& api)
    : path_(std::move(path)),
      listener_(std::move(listener)),
      loop_(std::move(loop)),
      server_(server),
      api_(api) {}

UnixListener::~UnixListener() {
  loop_->Stop();
  if (thread_.joinable()) thread_.join();
  ::unlink(path_.c_str());
}

// Without a free descriptor or memory, accept fails until something is closed: not asked all the
// time meanwhile, for the socket stays readable. A client that has gone again is no reason to wait.
void UnixListener::PauseAccepting(const absl::Status& why) {
  if (absl::IsUnavailable(why)) return;
  MSB_LOG(kWarning) << "connections wait, since none can be taken: " << why.message();
  loop_->Unwatch(listener_.get());
  loop_->After(kAcceptPause, [this] {
    const absl::Status watched = Watch();
    if (!watched.ok()) {
      MSB_LOG(kError) << "the API's socket takes no more calls: " << watched.message();
    }
  });
}

absl::Status UnixListener::Watch() {
  return loop_->Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnConnection(); });
}

void UnixListener::OnConnection() {
  absl::StatusOr<UniqueFd> accepted = AcceptUnix(listener_.get(), Blocking::kNo);
  if (!accepted.ok()) return PauseAccepting(accepted.status());
  absl::StatusOr<Caller> peer = PeerOf(accepted->get());
  if (!peer.ok()) {
    MSB_LOG(kWarning) << "a connection was not taken: " << peer.status().message();
    return;
  }
  const bool member = IsMember(peer->uid, peer->gid, api_.authenticator.group());
  const absl::Status admitted = api_.authenticator.connections().Admit(
      accepted->get(), *std::move(peer),
      member ? Connections::Right::kMember : Connections::Right::kStranger);
  if (!admitted.ok()) {
    // Not louder: whoever may connect could fill the log.
    MSB_LOG(kDebug) << "a connection was closed: " << admitted.message();
    return CloseAside(*std::move(accepted));
  }
  const auto connection = std::make_shared<UniqueFd>(*std::move(accepted));
  const absl::Status watched = loop_->Watch(
      connection->get(), EPOLLIN, [this, connection](uint32_t) { OnFirstByte(*connection); });
  if (!watched.ok()) {
    MSB_LOG(kWarning) << "a connection was not taken: " << watched.message();
  }
}

// A client of gRPC speaks first (RFC 9113, 3.4).
void UnixListener::OnFirstByte(UniqueFd& connection) {
  char first = 0;
  const ssize_t got = ::recv(connection.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno == EINTR) return;
  loop_->Unwatch(connection.get());
  // Its end, or out-of-band data, with which nobody begins.
  if (got <= 0) return CloseAside(std::move(connection));
  if (first != msb::v1::TRANSFER_PREFACE) {
    return grpc::AddInsecureChannelFromFd(&server_, connection.Release());
  }
  absl::StatusOr<Caller> caller = api_.authenticator.CallerOf(connection.get());
  const absl::Status served =
      DirectTransfer::Serve(*loop_, std::move(connection), std::move(caller), api_.registry);
  if (!served.ok()) {
    MSB_LOG(kWarning) << "a transfer was not taken: " << served.message();
  }
}

}  // namespace msb
