// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sockets towards the host (vsock(7)).

#ifndef MSB_GUEST_AGENT_LINK_VSOCK_H_
#define MSB_GUEST_AGENT_LINK_VSOCK_H_

#include <sys/socket.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace msb {

// Whether `peer`, as accept(2) tells it, is the host; a Unix socket's always is. Not so on vsock: a
// guest with virtual machines of its own is a host to them, and some kernels connect it to itself.
bool IsHost(const sockaddr_storage& peer);

// Listens on `port`, non-blocking.
absl::StatusOr<UniqueFd> ListenVsock(uint32_t port);

// Begins to connect to `port` of the host without waiting: writable once it stands. From a reserved
// port, which only the privileged of the guest may bind.
absl::StatusOr<UniqueFd> ConnectToHost(uint32_t port);

// How much of a connection may be on its way to us or unread: Linux gives 256 KiB. Another kind of
// socket is left as it is.
void SetReceiveWindow(int socket, uint64_t bytes);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_VSOCK_H_
