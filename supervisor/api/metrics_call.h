// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One SandboxService.GetMetrics call.

#ifndef MSB_SUPERVISOR_API_METRICS_CALL_H_
#define MSB_SUPERVISOR_API_METRICS_CALL_H_

#include <memory>

#include "absl/time/time.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"

namespace msb {

class MetricsCall final
    : public QueuedCall<grpc::ServerWriteReactor<msb::v1::Metrics>, msb::v1::Metrics> {
 public:
  static grpc::ServerWriteReactor<msb::v1::Metrics>* Begin(
      const ApiContext& api, grpc::CallbackServerContext& context,
      const msb::v1::GetMetricsRequest& request);
  explicit MetricsCall(grpc::CallbackServerContext& context) : QueuedCall(context) {}

 private:
  // On the loop of the sandboxes.
  void Collect();
  void OnWritten(size_t) override;
  void OnCancel() override { End(absl::CancelledError("the client went away")); }

  SandboxPtr sandbox_;
  absl::Duration interval_;  // zero: once
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_METRICS_CALL_H_
