// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/agent/exec_session.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"

namespace msb {
namespace {

using msb::agent::v1::AgentFrame;
using msb::agent::v1::HostFrame;

constexpr int32_t kMaxExitCode = 255;
constexpr int32_t kMaxSignal = 64;

absl::Duration FromGuestNanoseconds(uint64_t ns) {
  return absl::Nanoseconds(
      std::min<uint64_t>(ns, static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
}

class ExecFrameSink final : public AgentFrameSink {
 public:
  ExecFrameSink(ExecAttachment attachment, std::shared_ptr<ExecSink> sink)
      : attachment_(attachment), sink_(std::move(sink)) {}

  absl::StatusOr<StreamStep> OnFrame(AgentFrame frame, size_t) override {
    if (!opened_) return TakeOpened(frame);
    switch (frame.frame_case()) {
      case AgentFrame::kStdout:
        return TakeOutput(ExecOutput::kStdout, *frame.mutable_stdout());
      case AgentFrame::kStderr:
        return TakeOutput(ExecOutput::kStderr, *frame.mutable_stderr());
      case AgentFrame::kExited:
        sink_->OnExited(ExitedFromGuest(frame.exited()));
        return StreamStep::kDone;
      default:
        return MakeError(Reason::kAgentProtocol, "the agent sent a frame that no command has");
    }
  }

  void OnEnd(absl::Status status) override {
    const bool broken = status.ok() || ReasonOf(status) == Reason::kFrameTruncated ||
                        ReasonOf(status) == Reason::kAgentUnreachable;
    if (opened_ && broken) {
      status = MakeError(Reason::kExecLost, "the connection to the command broke");
    } else if (status.ok()) {
      status = MakeError(Reason::kAgentUnreachable, "the agent closed the connection unasked");
    }
    sink_->OnFailed(std::move(status));
  }

 private:
  absl::StatusOr<StreamStep> TakeOpened(const AgentFrame& frame) {
    if (!frame.has_opened()) {
      return MakeError(Reason::kAgentProtocol, "the agent began without 'opened'");
    }
    opened_ = true;
    sink_->OnStarted({.exec_id = "",
                      .pid = frame.opened().pid(),
                      .stdout_offset = frame.opened().stdout_offset(),
                      .stderr_offset = frame.opened().stderr_offset()});
    return attachment_ == ExecAttachment::kDetached ? StreamStep::kDone : StreamStep::kMore;
  }

  absl::StatusOr<StreamStep> TakeOutput(ExecOutput stream, msb::agent::v1::Output& output) {
    if (!output.data().empty()) {
      sink_->OnOutput(stream, output.offset(), std::move(*output.mutable_data()));
    }
    return StreamStep::kMore;
  }

  const ExecAttachment attachment_;
  const std::shared_ptr<ExecSink> sink_;
  bool opened_ = false;
};

}  // namespace

ExecExitedInfo ExitedFromGuest(const msb::agent::v1::Exited& exited) {
  return {.exit_code = std::clamp(exited.exit_code(), 0, kMaxExitCode),
          .signal = std::clamp(exited.signal(), 0, kMaxSignal),
          .timed_out = exited.timed_out(),
          .duration = FromGuestNanoseconds(exited.duration_ns()),
          .user_cpu = FromGuestNanoseconds(exited.user_cpu_ns()),
          .system_cpu = FromGuestNanoseconds(exited.system_cpu_ns()),
          .max_rss_bytes = exited.max_rss_bytes()};
}

void ExecSession::WriteStdin(std::string data, AgentStream::Accepted accepted) {
  HostFrame frame;
  frame.set_stdin(std::move(data));
  stream_->Send(std::move(frame), std::move(accepted));
}

void ExecSession::CloseStdin() {
  HostFrame frame;
  frame.mutable_close_stdin();
  stream_->Send(std::move(frame));
}

void ExecSession::Resize(uint32_t rows, uint32_t columns) {
  HostFrame frame;
  frame.mutable_resize()->set_rows(rows);
  frame.mutable_resize()->set_columns(columns);
  stream_->Send(std::move(frame));
}

void ExecSession::Signal(int32_t signal) {
  HostFrame frame;
  frame.set_signal(signal);
  stream_->Send(std::move(frame));
}

std::shared_ptr<AgentFrameSink> MakeExecFrameSink(ExecAttachment attachment,
                                                  std::shared_ptr<ExecSink> sink) {
  return std::make_shared<ExecFrameSink>(attachment, std::move(sink));
}

}  // namespace msb
