// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Who is at the other end of each connection of the Unix socket.

#ifndef MSB_SUPERVISOR_API_CONNECTIONS_H_
#define MSB_SUPERVISOR_API_CONNECTIONS_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "supervisor/sandbox/caller.h"

namespace msb {

// Whether `uid` is in the group that may use the daemon: it is root or the daemon's own user, or a
// member of `group` (`gid` of its process included). Asks the host's user database, and so may
// block.
bool IsMember(uint32_t uid, uint32_t gid, const std::string& group);

// Uid, gid and supplementary groups of the process that connected `socket`.
absl::StatusOr<Caller> PeerOf(int socket);

// Thread-safe. A connection is named by the number of its descriptor, as gRPC names it to a call
// ("fd:12"); a number comes again only after the connection before it is closed.
class Connections {
 public:
  enum class Right { kMember, kStranger };

  explicit Connections(uint32_t max_per_user) : max_per_user_(max_per_user) {}

  // Writes down who is at the other end of `fd`. kLimitExceeded when that user has as many
  // connections as one may have.
  absl::Status Admit(int fd, Caller caller, Right right);
  // `peer` as grpc::ServerContext has it. kPermissionDenied for a stranger, with what to do.
  absl::StatusOr<Caller> CallerOf(absl::string_view peer, absl::string_view group) const;

 private:
  struct Peer {
    Caller caller;
    Right right = Right::kStranger;
    uint64_t inode = 0;  // of the socket: gRPC closes it, and tells nobody
  };
  const uint32_t max_per_user_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<int, Peer> peers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_CONNECTIONS_H_
