// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sockets towards the host (vsock(7)).

#ifndef MSB_GUEST_AGENT_LINK_VSOCK_H_
#define MSB_GUEST_AGENT_LINK_VSOCK_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace msb {

// Listens on `port`, non-blocking.
absl::StatusOr<UniqueFd> ListenVsock(uint32_t port);

// Begins to connect to `port` of the host without waiting: writable once it stands.
absl::StatusOr<UniqueFd> ConnectToHost(uint32_t port);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_VSOCK_H_
