// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A command in a guest, seen from the host: start it or join it, feed it, hear its output and its
// end.

#ifndef MSB_SUPERVISOR_AGENT_EXEC_SESSION_H_
#define MSB_SUPERVISOR_AGENT_EXEC_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "supervisor/agent/stream.h"

namespace msb {

enum class ExecOutput { kStdout, kStderr };

struct ExecStartedInfo {
  std::string exec_id;  // filled in by who opened the session
  int32_t pid = 0;      // in the guest
  uint64_t stdout_offset = 0;
  uint64_t stderr_offset = 0;
};

struct ExecExitedInfo {
  int32_t exit_code = 0;  // 0..255
  int32_t signal = 0;     // 0..64
  bool timed_out = false;
  absl::Duration duration;
  absl::Duration user_cpu;
  absl::Duration system_cpu;
  uint64_t max_rss_bytes = 0;
};

// Called on an I/O loop, in the order: OnStarted, any number of OnOutput, OnExited; OnFailed may
// take the place of any of them and is then the last. Must not block.
class ExecSink {
 public:
  virtual ~ExecSink() = default;
  virtual void OnStarted(const ExecStartedInfo& info) = 0;
  // To be given back by ExecSession::Acknowledge(data.size()), else the guest is held up. Never
  // empty.
  virtual void OnOutput(ExecOutput stream, uint64_t offset, std::string data) = 0;
  virtual void OnExited(const ExecExitedInfo& info) = 0;
  virtual void OnFailed(absl::Status status) = 0;
};

// Whether the connection carries the command's output, or the command runs in the background and
// the connection ends behind OnStarted.
enum class ExecAttachment { kAttached, kDetached };

// What the agent reports of an end, with every number in its range.
ExecExitedInfo ExitedFromGuest(const msb::agent::v1::Exited& exited);

// Thread-safe.
class ExecSession {
 public:
  explicit ExecSession(std::shared_ptr<AgentStream> stream) : stream_(std::move(stream)) {}

  // `accepted`: as AgentStream::Send.
  void WriteStdin(std::string data, AgentStream::Accepted accepted);
  void CloseStdin();
  void Resize(uint32_t rows, uint32_t columns);
  void Signal(int32_t signal);
  void Acknowledge(size_t bytes) { stream_->Acknowledge(bytes); }
  // Leaves the command alone: it goes on, its output stays in the guest's ring. No call of the sink
  // follows one that is under way.
  void Leave() { stream_->Close(); }

 private:
  const std::shared_ptr<AgentStream> stream_;
};

// Between a stream and the ExecSink of one command: checks the order of the agent's frames.
std::shared_ptr<AgentFrameSink> MakeExecFrameSink(ExecAttachment attachment,
                                                  std::shared_ptr<ExecSink> sink);

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_EXEC_SESSION_H_
