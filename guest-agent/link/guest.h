// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the control connection asks of the machine as a whole. Pid 1 does it; an agent that runs as
// an ordinary process, for tests, leaves its host alone.

#ifndef MSB_GUEST_AGENT_LINK_GUEST_H_
#define MSB_GUEST_AGENT_LINK_GUEST_H_

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

struct ShutdownRequest {
  // What processes get to end in.
  absl::Duration grace;
  // What a command of the image's wants to be asked by, and the commands that run.
  int signal = SIGTERM;
  std::vector<pid_t> commands = {};
};

class Guest {
 public:
  virtual ~Guest() = default;
  // CLOCK_REALTIME, ns since the epoch.
  virtual absl::Status SetClock(uint64_t nanoseconds) = 0;
  virtual agent::v1::GuestStats Stats() = 0;
  // What the guest is to see beside its image. Only pid 1 may.
  virtual absl::Status MountAll(const agent::v1::MountAll&) {
    return MakeError(Reason::kPermissionDenied, "this agent is not pid 1 of a guest");
  }
  // Adds a CA certificate (PEM) to the image's trust stores. Returns the variables that name them,
  // for every command. Only pid 1 may.
  virtual absl::StatusOr<std::vector<std::string>> TrustCa(const std::string&) {
    return MakeError(Reason::kPermissionDenied, "this agent is not pid 1 of a guest");
  }
  // Begins to end everything; returns at once. Calls behind the first change nothing.
  virtual void BeginShutdown(const ShutdownRequest& request) = 0;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_GUEST_H_
