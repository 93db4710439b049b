// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One SandboxService.Logs call.

#ifndef MSB_SUPERVISOR_API_LOG_CALL_H_
#define MSB_SUPERVISOR_API_LOG_CALL_H_

#include <memory>

#include "msb/v1/sandbox.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"
#include "supervisor/sandbox/console_log.h"

namespace msb {

// A piece of the log is asked for when the one before is out: a slow client costs one piece of
// memory.
class LogCall final
    : public QueuedCall<grpc::ServerWriteReactor<msb::v1::LogsChunk>, msb::v1::LogsChunk> {
 public:
  static grpc::ServerWriteReactor<msb::v1::LogsChunk>* Begin(const ApiContext& api,
                                                             grpc::CallbackServerContext& context,
                                                             const msb::v1::LogsRequest& request);
  explicit LogCall(grpc::CallbackServerContext& context) : QueuedCall(context) {}

 private:
  void Start(const SandboxPtr& sandbox, const msb::v1::LogsRequest& request);
  void Watch(const SandboxPtr& sandbox);
  void AskForMore();
  void OnWritten(size_t) override { AskForMore(); }
  void OnCancel() override;

  absl::Mutex mutex_;
  std::shared_ptr<ConsoleFollower> follower_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_LOG_CALL_H_
