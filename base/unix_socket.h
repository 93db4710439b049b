// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Unix stream sockets by path.

#ifndef MSB_BASE_UNIX_SOCKET_H_
#define MSB_BASE_UNIX_SOCKET_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace msb {

enum class Blocking { kYes, kNo };

// Binds and listens at `path` (at most 107 bytes), replacing a socket file that stands there. The
// file has mode 0600: the caller widens it when more than its own user may connect.
absl::StatusOr<UniqueFd> ListenUnix(const std::string& path, int backlog = 128);

// A non-blocking connect to a full backlog fails with EAGAIN rather than waiting.
absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, Blocking blocking);

// The next pending connection, close-on-exec. kUnavailable when a non-blocking `listener` has none.
absl::StatusOr<UniqueFd> AcceptUnix(int listener, Blocking blocking);

}  // namespace msb

#endif  // MSB_BASE_UNIX_SOCKET_H_
