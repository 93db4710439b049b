// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Who makes a call: by the peer of the Unix socket, or by the bearer token on TCP.

#ifndef MSB_SUPERVISOR_API_AUTHENTICATOR_H_
#define MSB_SUPERVISOR_API_AUTHENTICATOR_H_

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "supervisor/api/connections.h"
#include "supervisor/sandbox/caller.h"

namespace msb {

// The token of `path`: made of 256 random bits, readable by its owner and `group`, when it is not
// there.
absl::StatusOr<std::string> LoadOrMakeToken(const std::string& path, const std::string& group);

// Thread-safe.
class Authenticator {
 public:
  Authenticator(std::string token, std::string group, uint32_t max_connections_per_user);

  Connections& connections() { return connections_; }
  const std::string& group() const { return group_; }
  // Whoever has the token acts as the daemon's own user.
  absl::StatusOr<Caller> CallerOf(const grpc::ServerContextBase& context) const;
  // Of a connection of the Unix socket.
  absl::StatusOr<Caller> CallerOf(int connection) const;

 private:
  const std::string token_;
  const std::string group_;
  const Caller daemon_;
  Connections connections_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_AUTHENTICATOR_H_
