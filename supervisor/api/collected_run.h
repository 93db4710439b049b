// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The command of an ExecService.Run call: its output is collected up to a bound, the rest thrown
// away.

#ifndef MSB_SUPERVISOR_API_COLLECTED_RUN_H_
#define MSB_SUPERVISOR_API_COLLECTED_RUN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "msb/v1/exec.pb.h"
#include "supervisor/sandbox/guest_operations.h"

namespace msb {

// RunRequest.max_output_bytes: what it is when 0, and its bound.
inline constexpr uint64_t kDefaultRunOutputBytes = 1 << 20;
inline constexpr uint64_t kMaxRunOutputBytes = 16 << 20;

class CollectedRun final : public ExecSink, public std::enable_shared_from_this<CollectedRun> {
 public:
  // `response` stays until `done` is called, once, on any thread.
  CollectedRun(uint64_t limit, msb::v1::RunResponse* response,
               std::function<void(absl::Status)> done)
      : limit_(limit), response_(response), done_(std::move(done)) {}

  // On the loop of the sandboxes.
  void Begin(const std::shared_ptr<Sandbox>& sandbox, ExecSpec spec, std::string input);

 private:
  void OnStarted(const ExecStartedInfo&) override {}
  void OnOutput(ExecOutput stream, uint64_t offset, std::string data) override;
  void OnExited(const ExecExitedInfo& info) override;
  void OnFailed(absl::Status status) override { Answer(std::move(status)); }
  void Answer(absl::Status status);

  const uint64_t limit_;
  absl::Mutex mutex_;
  msb::v1::RunResponse* response_ ABSL_GUARDED_BY(mutex_);
  std::function<void(absl::Status)> done_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<ExecSession> session_ ABSL_GUARDED_BY(mutex_);
  size_t owed_ ABSL_GUARDED_BY(mutex_) = 0;  // output that came before the session was known
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_COLLECTED_RUN_H_
