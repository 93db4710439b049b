// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The control connection: small requests about the guest and its commands, each answered at once.

#ifndef MSB_GUEST_AGENT_LINK_CONTROL_OPERATION_H_
#define MSB_GUEST_AGENT_LINK_CONTROL_OPERATION_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "guest-agent/exec/exec_table.h"
#include "guest-agent/link/connection.h"
#include "guest-agent/link/guest.h"
#include "guest-agent/link/worker_pool.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

class ControlOperation final : public Operation {
 public:
  // All outlive the operation.
  ControlOperation(Connection& connection, ExecTable& execs, const WorkerPool& file_workers,
                   Guest& guest);

  absl::Status OnInput(FrameInput& input) override;
  void OnOutputRoom() override;

 private:
  absl::Status Answer(absl::string_view bytes);
  absl::Status BeginShutdown(const agent::v1::Shutdown& shutdown);
  absl::Status Carry(const agent::v1::ControlRequest& request,
                     agent::v1::ControlResponse& response);

  Connection& connection_;
  ExecTable& execs_;
  const WorkerPool& file_workers_;
  Guest& guest_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_CONTROL_OPERATION_H_
