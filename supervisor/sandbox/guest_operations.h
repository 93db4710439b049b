// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What can be done in a running guest: commands, file operations, short requests.
//
// Each looks at the sandbox's state, keeps it from being idle for as long as the operation lasts,
// and tells a client whose connection broke what became of the sandbox.
//
// Threading: called on the loop that owns the sandboxes; `done` is called there, once. Sinks are
// called on an I/O loop, the answer to a broken connection perhaps on the loop of the sandboxes.

#ifndef MSB_SUPERVISOR_SANDBOX_GUEST_OPERATIONS_H_
#define MSB_SUPERVISOR_SANDBOX_GUEST_OPERATIONS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "msb/agent/v1/agent.pb.h"
#include "supervisor/agent/agent_client.h"
#include "supervisor/sandbox/exec_request.h"
#include "supervisor/sandbox/sandbox.h"

namespace msb {

struct OpenedExec {
  std::string exec_id;
  std::shared_ptr<ExecSession> session;
};
using OnExecOpened = std::function<void(absl::StatusOr<OpenedExec>)>;

// Starts a command. kTooManyExecs at the limit.
void OpenExec(const std::shared_ptr<Sandbox>& sandbox, ExecSpec spec,
              std::shared_ptr<ExecSink> sink, OnExecOpened done);

struct AttachSpec {
  std::string exec_id;
  uint64_t stdout_offset = 0;
  uint64_t stderr_offset = 0;
  bool take_over = false;
};
void OpenAttach(const std::shared_ptr<Sandbox>& sandbox, const AttachSpec& spec,
                std::shared_ptr<ExecSink> sink, const OnExecOpened& done);

using OnStreamOpened = std::function<void(absl::StatusOr<std::shared_ptr<AgentStream>>)>;
// A file operation: `open` as the agent's protocol has it.
void OpenFileStream(const std::shared_ptr<Sandbox>& sandbox, msb::agent::v1::Open open,
                    std::shared_ptr<AgentFrameSink> sink, const OnStreamOpened& done);

// The same for a client that speaks with the agent itself (AgentClient::OpenDirect).
void OpenDirectStream(const std::shared_ptr<Sandbox>& sandbox, msb::agent::v1::Open open,
                      std::shared_ptr<AgentFrameSink> sink, AgentClient::OnConnected connected,
                      const OnStreamOpened& done);

using OnAgentResponse = std::function<void(absl::StatusOr<msb::agent::v1::ControlResponse>)>;
// A short request. `done` is called on an I/O loop or on the loop of the sandboxes.
void AskAgent(const std::shared_ptr<Sandbox>& sandbox, msb::agent::v1::ControlRequest request,
              OnAgentResponse done);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_GUEST_OPERATIONS_H_
