// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One ImageService.Pull call.

#ifndef MSB_SUPERVISOR_API_PULL_CALL_H_
#define MSB_SUPERVISOR_API_PULL_CALL_H_

#include <map>
#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"
#include "msb/v1/image.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"

namespace msb {

// A client that reads slowly gets the latest of each layer and nothing that is out of date: what is
// held for it is bounded by the number of layers.
class PullCall final : public QueuedCall<grpc::ServerWriteReactor<msb::v1::PullImageResponse>,
                                         msb::v1::PullImageResponse> {
 public:
  static grpc::ServerWriteReactor<msb::v1::PullImageResponse>* Begin(
      const ApiContext& api, grpc::CallbackServerContext& context,
      const msb::v1::PullImageRequest& request);
  explicit PullCall(grpc::CallbackServerContext& context) : QueuedCall(context) {}

 private:
  void OnProgress(const msb::v1::PullProgress& progress);
  void OnPulled(const absl::StatusOr<msb::v1::Image>& image);
  void Advance();
  void OnWritten(size_t) override;
  void OnCancel() override;
  void OnDone() override;

  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, msb::v1::PullProgress> waiting_ ABSL_GUARDED_BY(mutex_);  // by digest
  PullTicket ticket_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_PULL_CALL_H_
