// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/control_operation.h"

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "guest-agent/link/wire.h"

namespace msb {

using agent::v1::AgentFrame;
using agent::v1::ControlRequest;
using agent::v1::ControlResponse;

ControlOperation::ControlOperation(Connection& connection, ExecTable& execs,
                                   const WorkerPool& file_workers, Guest& guest)
    : connection_(connection), execs_(execs), file_workers_(file_workers), guest_(guest) {
  AgentFrame frame;
  frame.mutable_opened()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  frame.mutable_opened()->set_agent_version(std::string(Version()));
  connection_.output().Append(frame);
  connection_.Flush();
}

absl::Status ControlOperation::OnInput(FrameInput& input) {
  while (connection_.open()) {
    // A host that does not read its answers gets no more of them.
    if (!connection_.output().empty()) {
      connection_.PauseInput();
      return absl::OkStatus();
    }
    MSB_ASSIGN_OR_RETURN(const std::optional<FrameInput::Item> item, input.Peek());
    if (!item) return absl::OkStatus();
    if (item->field != FrameInput::kMessage) {
      return MakeError(Reason::kAgentProtocol, "bulk on the control connection");
    }
    input.Consume(item->bytes.size());
    MSB_RETURN_IF_ERROR(Answer(item->bytes));
    connection_.Flush();
  }
  return absl::OkStatus();
}

void ControlOperation::OnOutputRoom() {
  if (connection_.output().empty()) connection_.ResumeInput();
}

absl::Status ControlOperation::Answer(absl::string_view bytes) {
  agent::v1::HostFrame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return MakeError(Reason::kFrameMalformed, "a frame behind Control cannot be read");
  }
  if (!frame.has_control()) {
    return MakeError(Reason::kAgentProtocol,
                     absl::StrCat("frame ", int{frame.frame_case()}, " behind Control"));
  }
  AgentFrame answer;
  ControlResponse& response = *answer.mutable_control();
  response.set_id(frame.control().id());
  const absl::Status done = Carry(frame.control(), response);
  if (!done.ok()) {
    *response.mutable_error() = ToError(done);
  } else if (response.response_case() == ControlResponse::RESPONSE_NOT_SET) {
    response.mutable_ok();
  }
  connection_.output().Append(answer);
  return absl::OkStatus();
}

absl::Status ControlOperation::BeginShutdown(const agent::v1::Shutdown& shutdown) {
  const int signal = shutdown.stop_signal() == 0 ? SIGTERM : shutdown.stop_signal();
  if (signal < 1 || signal >= NSIG) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("there is no signal ", signal));
  }
  guest_.BeginShutdown({.grace = absl::Milliseconds(shutdown.grace_ms()),
                        .signal = signal,
                        .commands = execs_.LeaderPids()});
  return absl::OkStatus();
}

absl::Status ControlOperation::Carry(const ControlRequest& request, ControlResponse& response) {
  switch (request.request_case()) {
    case ControlRequest::kPing:
      return absl::OkStatus();
    case ControlRequest::kSetClockNs:
      return guest_.SetClock(request.set_clock_ns());
    case ControlRequest::kShutdown:
      return BeginShutdown(request.shutdown());
    case ControlRequest::kListExecs:
      *response.mutable_execs() = execs_.List();
      response.mutable_execs()->set_file_operations(static_cast<uint32_t>(file_workers_.busy()));
      return absl::OkStatus();
    case ControlRequest::kSignalExec: {
      MSB_ASSIGN_OR_RETURN(const auto execution, execs_.Find(request.signal_exec().exec_id()));
      return execution->Signal(request.signal_exec().signal());
    }
    case ControlRequest::kResizeExec: {
      MSB_ASSIGN_OR_RETURN(const auto execution, execs_.Find(request.resize_exec().exec_id()));
      return execution->Resize(request.resize_exec().size());
    }
    case ControlRequest::kStats:
      *response.mutable_stats() = guest_.Stats();
      return absl::OkStatus();
    case ControlRequest::kRemoveExec:
      return execs_.Remove(request.remove_exec());
    case ControlRequest::kMountAll:
      return guest_.MountAll(request.mount_all());
    case ControlRequest::kTrustCa: {
      MSB_ASSIGN_OR_RETURN(std::vector<std::string> variables, guest_.TrustCa(request.trust_ca()));
      execs_.SetDefaultEnvironment(std::move(variables));
      return absl::OkStatus();
    }
    case ControlRequest::REQUEST_NOT_SET:
      break;
  }
  return MakeError(Reason::kAgentProtocol, "a control request that this agent does not know");
}

}  // namespace msb
