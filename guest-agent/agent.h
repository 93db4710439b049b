// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The whole agent but for what makes it pid 1: event loop, commands, files and the host's
// connections.

#ifndef MSB_GUEST_AGENT_AGENT_H_
#define MSB_GUEST_AGENT_AGENT_H_

#include <csignal>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "guest-agent/exec/cgroup_pool.h"
#include "guest-agent/exec/exec_table.h"
#include "guest-agent/exec/orphan_pipes.h"
#include "guest-agent/link/agent_server.h"
#include "guest-agent/link/guest.h"
#include "guest-agent/users/user_database.h"

namespace msb {

// Blocks every signal that does not tell of a fault of the thread itself. Before threads: they
// inherit it, and Spawn needs it.
void BlockSignals();

struct AgentOptions {
  // Where commands get their cgroups; empty: none.
  std::string cgroup_directory;
  ExecLimits execs;
  ServerLimits server;
};

// Belongs to one thread, which has blocked its signals.
class Agent {
 public:
  // `guest` outlives the agent.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(Guest& guest, const AgentOptions& options);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  EventLoop& loop() { return *loop_; }
  AgentServer& server() { return server_; }
  ExecTable& execs() { return execs_; }

  // Called from the loop when the last child of the process has been reaped, and for signals other
  // than SIGCHLD that a person sends to pid 1 (SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPWR).
  std::function<void()> on_no_children;
  std::function<void(int signal)> on_signal;

  // Until the loop is stopped.
  absl::Status Run() { return loop_->Run(); }

 private:
  Agent(std::unique_ptr<EventLoop> loop, UniqueFd null_device, UniqueFd signals, Guest& guest,
        const AgentOptions& options);
  void OnSignals();

  const std::unique_ptr<EventLoop> loop_;
  const UniqueFd null_device_;
  const UniqueFd signals_;
  UserDatabase users_;
  CgroupPool cgroups_;
  OrphanPipes orphans_;
  ExecTable execs_;
  AgentServer server_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_AGENT_H_
