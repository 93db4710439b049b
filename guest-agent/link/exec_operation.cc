// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/exec_operation.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "guest-agent/link/wire.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::HostFrame;

constexpr std::array<OutputStream, kOutputStreams> kStreams = {OutputStream::kStdout,
                                                               OutputStream::kStderr};

AgentFrame OpenedFrame(const Execution& execution, uint64_t stdout_offset, uint64_t stderr_offset) {
  AgentFrame frame;
  auto& opened = *frame.mutable_opened();
  opened.set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  opened.set_agent_version(std::string(Version()));
  opened.set_pid(execution.pid());
  opened.set_stdout_offset(stdout_offset);
  opened.set_stderr_offset(stderr_offset);
  return frame;
}

absl::StatusOr<uint64_t> StartOffset(const OutputRing& ring, uint64_t wanted) {
  if (wanted > ring.end()) {
    return MakeError(
        Reason::kInvalidArgument,
        absl::StrCat("offset ", wanted, " of a stream that has ", ring.end(), " bytes"));
  }
  return std::max(wanted, ring.begin());
}

}  // namespace

ExecOperation::ExecOperation(Connection& connection, std::shared_ptr<Execution> execution,
                             uint64_t stdout_offset, uint64_t stderr_offset)
    : connection_(connection),
      execution_(std::move(execution)),
      queued_{stdout_offset, stderr_offset} {
  connection_.output().Append(OpenedFrame(*execution_, stdout_offset, stderr_offset));
  execution_->Attach(this, stdout_offset, stderr_offset);
}

ExecOperation::~ExecOperation() { Detach(); }

absl::StatusOr<std::unique_ptr<Operation>> ExecOperation::Exec(Connection& connection,
                                                               ExecTable& table,
                                                               const agent::v1::Exec& request) {
  MSB_ASSIGN_OR_RETURN(std::shared_ptr<Execution> execution, table.Start(request));
  if (!request.attached()) {
    connection.output().Append(OpenedFrame(*execution, 0, 0));
    connection.Finish();
    return std::unique_ptr<Operation>();
  }
  std::unique_ptr<ExecOperation> operation(
      new ExecOperation(connection, std::move(execution), 0, 0));
  operation->HoldOpened();
  return std::unique_ptr<Operation>(std::move(operation));
}

void ExecOperation::HoldOpened() {
  opened_hold_ = connection_.loop().After(kOpenedHold, [this] {
    opened_hold_.reset();
    Pump();
  });
}

absl::StatusOr<std::unique_ptr<Operation>> ExecOperation::Attach(Connection& connection,
                                                                 ExecTable& table,
                                                                 const agent::v1::Attach& request) {
  MSB_ASSIGN_OR_RETURN(std::shared_ptr<Execution> execution, table.Find(request.exec_id()));
  if (execution->client() != nullptr && !request.take_over()) {
    return MakeError(Reason::kExecAlreadyAttached,
                     absl::StrCat("another client is attached to ", request.exec_id()));
  }
  MSB_ASSIGN_OR_RETURN(
      const uint64_t stdout_offset,
      StartOffset(execution->ring(OutputStream::kStdout), request.stdout_offset()));
  MSB_ASSIGN_OR_RETURN(
      const uint64_t stderr_offset,
      StartOffset(execution->ring(OutputStream::kStderr), request.stderr_offset()));
  std::unique_ptr<ExecOperation> operation(
      new ExecOperation(connection, std::move(execution), stdout_offset, stderr_offset));
  operation->Pump();
  return std::unique_ptr<Operation>(std::move(operation));
}

absl::Status ExecOperation::OnInput(FrameInput& input) {
  while (attached_ && connection_.open()) {
    MSB_ASSIGN_OR_RETURN(const std::optional<FrameInput::Item> item, input.Peek());
    if (!item) return absl::OkStatus();
    if (item->field == HostFrame::kDataFieldNumber) {
      return MakeError(Reason::kAgentProtocol, "file data for a command");
    }
    if (item->field == FrameInput::kMessage) {
      input.Consume(item->bytes.size());
      MSB_RETURN_IF_ERROR(OnMessage(item->bytes));
      continue;
    }
    const size_t taken = execution_->WriteStdin(item->bytes);
    if (taken > 0) input.Consume(taken);
    if (taken < item->bytes.size()) {
      connection_.PauseInput();
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::Status ExecOperation::OnMessage(absl::string_view bytes) {
  HostFrame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return MakeError(Reason::kFrameMalformed, "a frame behind Exec cannot be read");
  }
  absl::Status done;
  switch (frame.frame_case()) {
    case HostFrame::kCloseStdin:
      execution_->CloseStdin();
      break;
    case HostFrame::kResize:
      done = execution_->Resize(frame.resize());
      break;
    case HostFrame::kSignal:
      done = execution_->Signal(frame.signal());
      break;
    default:
      return MakeError(Reason::kAgentProtocol,
                       absl::StrCat("frame ", int{frame.frame_case()}, " behind Exec"));
  }
  // The host could not know yet that the command has ended.
  if (ReasonOf(done) == Reason::kExecFinished) return absl::OkStatus();
  return done;
}

void ExecOperation::Pump() {
  while (attached_ && connection_.open()) {
    ReportTaken();
    QueueOutput();
    const bool at_end = execution_->finished() &&
                        queued_[0] == execution_->ring(OutputStream::kStdout).end() &&
                        queued_[1] == execution_->ring(OutputStream::kStderr).end();
    if (at_end) {
      AgentFrame frame;
      *frame.mutable_exited() = execution_->exited();
      connection_.output().Append(frame);
      Detach();  // a finished command's rings stay as they are, nobody has to hold them
      return connection_.Finish();
    }
    if (connection_.output().empty()) return;
    connection_.Flush();
    if (!connection_.output().empty()) return;  // OnOutputRoom follows
  }
}

void ExecOperation::QueueOutput() {
  for (const OutputStream stream : kStreams) {
    uint64_t& queued = queued_[static_cast<size_t>(stream)];
    const OutputRing& ring = execution_->ring(stream);
    const size_t size = std::min<uint64_t>(ring.end() - queued, kChunkBytes);
    if (size == 0 || connection_.output().Waiting(ring) > 0) continue;
    connection_.output().AppendOutput(stream, ring, queued, size);
    queued += size;
  }
}

void ExecOperation::ReportTaken() {
  for (const OutputStream stream : kStreams) {
    const size_t waiting = connection_.output().Waiting(execution_->ring(stream));
    execution_->Taken(stream, queued_[static_cast<size_t>(stream)] - waiting);
  }
}

void ExecOperation::OnTakenOver() {
  attached_ = false;
  if (opened_hold_) connection_.loop().Cancel(*std::exchange(opened_hold_, std::nullopt));
  connection_.output().CopyRings();
  connection_.Fail(MakeError(Reason::kExecAlreadyAttached, "another client has taken over"));
}

void ExecOperation::Detach() {
  if (opened_hold_) connection_.loop().Cancel(*std::exchange(opened_hold_, std::nullopt));
  if (!std::exchange(attached_, false)) return;
  execution_->Detach();
}

}  // namespace msb
