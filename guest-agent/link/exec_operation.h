// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Exec and Attach: carries a command's output to the host, and the host's input to the command.

#ifndef MSB_GUEST_AGENT_LINK_EXEC_OPERATION_H_
#define MSB_GUEST_AGENT_LINK_EXEC_OPERATION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "guest-agent/exec/exec_table.h"
#include "guest-agent/exec/execution.h"
#include "guest-agent/link/connection.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// How long `opened` waits for the first output, or the end, to travel in its packet.
inline constexpr absl::Duration kOpenedHold = absl::Milliseconds(4);

class ExecOperation final : public Operation, public ExecClient {
 public:
  // Starts the command. When the host does not attach, the connection finishes behind `opened`.
  static absl::StatusOr<std::unique_ptr<Operation>> Exec(Connection& connection, ExecTable& table,
                                                         const agent::v1::Exec& request);
  // kExecNotFound, kExecAlreadyAttached, kInvalidArgument for an offset that lies ahead.
  static absl::StatusOr<std::unique_ptr<Operation>> Attach(Connection& connection, ExecTable& table,
                                                           const agent::v1::Attach& request);
  ~ExecOperation() override;

  absl::Status OnInput(FrameInput& input) override;
  void OnOutputRoom() override { Pump(); }
  void OnHostGone() override { Detach(); }

  void OnOutput() override { Pump(); }
  void OnStdinRoom() override { connection_.ResumeInput(); }
  void OnTakenOver() override;

 private:
  ExecOperation(Connection& connection, std::shared_ptr<Execution> execution,
                uint64_t stdout_offset, uint64_t stderr_offset);
  absl::Status OnMessage(absl::string_view bytes);
  void HoldOpened();
  // Moves everything that can be moved from the rings to the host.
  void Pump();
  void QueueOutput();
  void ReportTaken();
  void Detach();

  Connection& connection_;
  const std::shared_ptr<Execution> execution_;
  bool attached_ = true;
  std::optional<EventLoop::TimerId> opened_hold_;
  std::array<uint64_t, kOutputStreams> queued_;  // offset behind what was handed to the connection
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_EXEC_OPERATION_H_
