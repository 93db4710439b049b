// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/vsock.h"

#include <sys/socket.h>
// vm_sockets.h needs sockaddr from before it.
#include <linux/vm_sockets.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr int kBacklog = 1024;

sockaddr_vm Address(uint32_t cid, uint32_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

absl::Status Failed(absl::string_view step) {
  return ErrnoError(Reason::kAgentUnreachable, step, errno);
}

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Failed("make a vsock socket");
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> ListenVsock(uint32_t port) {
  absl::StatusOr<UniqueFd> fd = NewSocket();
  if (!fd.ok()) return fd;
  const sockaddr_vm address = Address(VMADDR_CID_ANY, port);
  if (::bind(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd->get(), kBacklog) != 0) {
    return Failed(absl::StrCat("listen on vsock port ", port));
  }
  return fd;
}

absl::StatusOr<UniqueFd> ConnectToHost(uint32_t port) {
  absl::StatusOr<UniqueFd> fd = NewSocket();
  if (!fd.ok()) return fd;
  const sockaddr_vm address = Address(VMADDR_CID_HOST, port);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno != EINPROGRESS) {
    return Failed(absl::StrCat("connect to vsock port ", port, " of the host"));
  }
  return fd;
}

}  // namespace msb
