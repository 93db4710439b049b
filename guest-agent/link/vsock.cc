// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/vsock.h"

#include <sys/socket.h>
// vm_sockets.h needs sockaddr from before it.
#include <linux/vm_sockets.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/errno_status.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {
namespace {

constexpr int kBacklog = 1024;
constexpr int kReservedPorts = 16;  // that are tried, from the last one down

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

bool IsHost(const sockaddr_storage& peer) {
  if (peer.ss_family != AF_VSOCK) return true;
  sockaddr_vm address{};
  std::memcpy(&address, &peer, sizeof(address));
  return address.svm_cid == VMADDR_CID_HOST;
}

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

namespace {

// Each time to another port, since the host may still know the last connection of one.
absl::Status BindToReservedPort(const UniqueFd& socket) {
  static uint32_t next = agent::v1::WIRE_LAST_RESERVED_PORT;
  for (int tries = 0; tries < kReservedPorts; ++tries) {
    const sockaddr_vm address = Address(VMADDR_CID_ANY, next);
    next = next > agent::v1::WIRE_LAST_RESERVED_PORT - kReservedPorts + 1
               ? next - 1
               : uint32_t{agent::v1::WIRE_LAST_RESERVED_PORT};
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return absl::OkStatus();
    }
    if (errno != EADDRINUSE) break;
  }
  return Failed("bind to a reserved vsock port");
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectToHost(uint32_t port) {
  absl::StatusOr<UniqueFd> fd = NewSocket();
  if (!fd.ok()) return fd;
  MSB_RETURN_IF_ERROR(BindToReservedPort(*fd));
  const sockaddr_vm address = Address(VMADDR_CID_HOST, port);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno != EINPROGRESS) {
    return Failed(absl::StrCat("connect to vsock port ", port, " of the host"));
  }
  return fd;
}

void SetReceiveWindow(int socket, uint64_t bytes) {
  ::setsockopt(socket, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &bytes, sizeof(bytes));
  ::setsockopt(socket, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &bytes, sizeof(bytes));
}

}  // namespace msb
