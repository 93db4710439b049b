// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Takes the host's connections and gives each to what serves its operation: commands and control to
// the loop, files to worker threads.

#ifndef MSB_GUEST_AGENT_LINK_AGENT_SERVER_H_
#define MSB_GUEST_AGENT_LINK_AGENT_SERVER_H_

#include <cstddef>
#include <list>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "guest-agent/exec/exec_table.h"
#include "guest-agent/link/connection.h"
#include "guest-agent/link/guest.h"
#include "guest-agent/link/worker_pool.h"
#include "guest-agent/users/user_database.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

struct ServerLimits {
  // Connections that the loop holds, idle ones included; more wait in the backlog.
  size_t connections = 4096;
  // File operations that run at once; more wait in line.
  size_t file_workers = 32;
  // Watches at once, each a thread; beyond that kLimitExceeded.
  size_t watches = 64;
};

// Belongs to the loop's thread.
class AgentServer {
 public:
  // All outlive the server.
  struct Services {
    EventLoop& loop;
    UserDatabase& users;
    ExecTable& execs;
    Guest& guest;
  };

  explicit AgentServer(const Services& services, const ServerLimits& limits = {});
  AgentServer(const AgentServer&) = delete;
  AgentServer& operator=(const AgentServer&) = delete;
  // Waits for file operations that run.
  ~AgentServer();

  // Serves what `listener`, a non-blocking socket, accepts.
  absl::Status Listen(UniqueFd listener);
  // Serves one connected, non-blocking socket.
  absl::Status Serve(UniqueFd socket);
  // Opens no more operations but control: the guest is going down.
  void RefuseOperations() { refusing_ = true; }

  size_t connections() const { return connections_.size(); }

 private:
  using Connections = std::list<std::unique_ptr<Connection>>;

  void OnAcceptable();
  absl::StatusOr<std::unique_ptr<Operation>> OpenOperation(Connection& connection,
                                                           const agent::v1::Open& open);
  absl::Status RunFileOperation(Connection& connection, const agent::v1::Open& open);
  void OnClosed(Connections::iterator place);

  const Services services_;
  const ServerLimits limits_;
  const Connection::Opener opener_;
  WorkerPool file_workers_;
  WorkerPool watch_workers_;
  UniqueFd listener_;
  bool accepting_ = false;
  bool refusing_ = false;
  Connections connections_;
  // Closed, and destroyed once none of their methods is on the stack.
  Connections closed_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_AGENT_SERVER_H_
