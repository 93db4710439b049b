// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/unix_listener.h"

#include <grpcpp/server_posix.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"

namespace msb {

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Start(const std::string& path,
                                                                  grpc::Server& server,
                                                                  Authenticator& authenticator) {
  MSB_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(path));
  MSB_RETURN_IF_ERROR(
      Syscall(absl::StrCat("chmod ", path), [&] { return ::chmod(path.c_str(), 0666); }));
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  std::unique_ptr<UnixListener> self(
      new UnixListener(path, std::move(listener), std::move(loop), server, authenticator));
  UnixListener* raw = self.get();
  MSB_RETURN_IF_ERROR(
      raw->loop_->Watch(raw->listener_.get(), EPOLLIN, [raw](uint32_t) { raw->OnConnection(); }));
  raw->thread_ = std::thread([raw] {
    const absl::Status ended = raw->loop_->Run();
    if (!ended.ok()) {
      MSB_LOG(kError) << "the API's socket takes no more calls: " << ended.message();
    }
  });
  return self;
}

UnixListener::UnixListener(std::string path, UniqueFd listener, std::unique_ptr<EventLoop> loop,
                           grpc::Server& server, Authenticator& authenticator)
    : path_(std::move(path)),
      listener_(std::move(listener)),
      loop_(std::move(loop)),
      server_(server),
      authenticator_(authenticator) {}

UnixListener::~UnixListener() {
  loop_->Stop();
  if (thread_.joinable()) thread_.join();
  ::unlink(path_.c_str());
}

void UnixListener::OnConnection() {
  absl::StatusOr<UniqueFd> accepted = AcceptUnix(listener_.get(), Blocking::kNo);
  if (!accepted.ok()) {
    MSB_LOG(kWarning) << "a connection was not taken: " << accepted.status().message();
    return;
  }
  absl::StatusOr<Caller> peer = PeerOf(accepted->get());
  if (!peer.ok()) {
    MSB_LOG(kWarning) << "a connection was not taken: " << peer.status().message();
    return;
  }
  const bool member = IsMember(peer->uid, peer->gid, authenticator_.group());
  authenticator_.connections().Remember(
      accepted->get(), *std::move(peer),
      member ? Connections::Right::kMember : Connections::Right::kStranger);
  grpc::AddInsecureChannelFromFd(&server_, accepted->Release());
}

}  // namespace msb
