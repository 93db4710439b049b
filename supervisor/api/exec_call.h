// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One ExecService.Exec or Attach call: a client's stream on one side, a command's session on the
// other.

#ifndef MSB_SUPERVISOR_API_EXEC_CALL_H_
#define MSB_SUPERVISOR_API_EXEC_CALL_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "msb/v1/exec.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"
#include "supervisor/sandbox/guest_operations.h"

namespace msb {

enum class ExecCallKind { kExec, kAttach };

// The next message of the client is read when the guest has taken the one before, and output is
// acknowledged to the guest when gRPC has written it: neither side can make the daemon hold more
// than a window.
class ExecCall final
    : public QueuedCall<grpc::ServerBidiReactor<msb::v1::ExecRequest, msb::v1::ExecResponse>,
                        msb::v1::ExecResponse>,
      public ExecSink {
 public:
  static grpc::ServerBidiReactor<msb::v1::ExecRequest, msb::v1::ExecResponse>* Begin(
      const ApiContext& api, grpc::CallbackServerContext& context, ExecCallKind kind);
  ExecCall(const ApiContext& api, grpc::CallbackServerContext& context, ExecCallKind kind)
      : QueuedCall(context), api_(api), kind_(kind) {}

 private:
  std::shared_ptr<ExecCall> self() { return std::static_pointer_cast<ExecCall>(held()); }

  // The client's side.
  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnWritten(size_t cost) override;
  void OnFirst();
  void OnInput();
  void Open(const SandboxPtr& sandbox, const std::shared_ptr<ExecCall>& self);
  void Opened(const SandboxPtr& sandbox, absl::StatusOr<OpenedExec> opened);
  void ReadNext() { Read(&request_); }
  std::shared_ptr<ExecSession> session();

  // ExecSink: the command's side.
  void OnStarted(const ExecStartedInfo& info) override;
  void OnOutput(ExecOutput stream, uint64_t offset, std::string data) override;
  void OnExited(const ExecExitedInfo& info) override;
  void OnFailed(absl::Status status) override;
  void Emit(msb::v1::ExecResponse response, size_t cost = 0);

  const ApiContext api_;
  const ExecCallKind kind_;
  msb::v1::ExecRequest request_;
  bool first_ = true;
  bool detach_ = false;
  bool kill_on_disconnect_ = false;

  absl::Mutex state_mutex_;
  std::string exec_id_ ABSL_GUARDED_BY(state_mutex_);
  SandboxPtr sandbox_ ABSL_GUARDED_BY(state_mutex_);
  std::shared_ptr<ExecSession> session_ ABSL_GUARDED_BY(state_mutex_);
  bool gone_ ABSL_GUARDED_BY(state_mutex_) = false;  // the client
  // What the command said before Opened brought its id: the two come on different threads.
  bool opened_ ABSL_GUARDED_BY(state_mutex_) = false;
  std::vector<std::pair<msb::v1::ExecResponse, size_t>> early_ ABSL_GUARDED_BY(state_mutex_);
  std::optional<absl::Status> early_end_ ABSL_GUARDED_BY(state_mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_EXEC_CALL_H_
