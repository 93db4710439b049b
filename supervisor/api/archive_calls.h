// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// ImageService.Load and Save calls: archives as streams. Each holds one message of its client, or
// one piece for it: the other side waits.

#ifndef MSB_SUPERVISOR_API_ARCHIVE_CALLS_H_
#define MSB_SUPERVISOR_API_ARCHIVE_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "msb/v1/image.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"
#include "supervisor/launch/cancellation.h"

namespace msb {

class LoadCall final : public grpc::ServerReadReactor<msb::v1::LoadImageRequest>,
                       public ArchiveSource {
 public:
  static grpc::ServerReadReactor<msb::v1::LoadImageRequest>* Begin(
      const ApiContext& api, grpc::CallbackServerContext& context,
      msb::v1::LoadImageResponse* response);
  LoadCall(grpc::CallbackServerContext& context, msb::v1::LoadImageResponse* response,
           absl::Duration patience)
      : context_(context), response_(response), patience_(patience) {}

  absl::StatusOr<std::optional<std::string>> Next() override;
  void Stop() override;

 private:
  void Load(Images& images, const Caller& caller);
  bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return piece_ || ended_ || broken_ || stopped_;
  }
  void Answer(const absl::Status& status);
  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

  grpc::CallbackServerContext& context_;
  msb::v1::LoadImageResponse* const response_;
  const absl::Duration patience_;  // with a client that sends nothing
  std::shared_ptr<LoadCall> self_;
  Cancellation cancel_;
  msb::v1::LoadImageRequest request_;  // gRPC's while it reads
  absl::Mutex mutex_;
  std::string name_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::string> piece_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;   // the client has sent all
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // the client is gone
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

class SaveCall final : public QueuedCall<grpc::ServerWriteReactor<msb::v1::SaveImageResponse>,
                                         msb::v1::SaveImageResponse> {
 public:
  static grpc::ServerWriteReactor<msb::v1::SaveImageResponse>* Begin(
      const ApiContext& api, grpc::CallbackServerContext& context,
      const msb::v1::SaveImageRequest& request);
  SaveCall(grpc::CallbackServerContext& context, absl::Duration patience)
      : QueuedCall(context), patience_(patience) {}

 private:
  // Waits until the piece before has gone out.
  bool Send(std::string bytes);
  bool MaySend() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !writing_ || broken_; }
  void OnWritten(size_t) override;
  void OnCancel() override;

  const absl::Duration patience_;  // with a client that takes nothing
  Cancellation cancel_;
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_ARCHIVE_CALLS_H_
