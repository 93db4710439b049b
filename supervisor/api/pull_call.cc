// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/pull_call.h"

#include <utility>

namespace msb {

grpc::ServerWriteReactor<msb::v1::PullImageResponse>* PullCall::Begin(
    const ApiContext& api, grpc::CallbackServerContext& context,
    const msb::v1::PullImageRequest& request) {
  const auto call = std::make_shared<PullCall>(context);
  call->Hold(call);
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
  if (!caller.ok()) {
    call->End(caller.status());
    return call.get();
  }
  const std::weak_ptr<PullCall> weak = call;
  absl::StatusOr<PullTicket> ticket = api.registry.context().images.StartPull(
      *caller, request,
      {.progress =
           [weak](const msb::v1::PullProgress& progress) {
             if (const auto self = weak.lock()) self->OnProgress(progress);
           },
       .done =
           [weak](const absl::StatusOr<msb::v1::Image>& image) {
             if (const auto self = weak.lock()) self->OnPulled(image);
           }});
  if (!ticket.ok()) {
    call->End(ticket.status());
    return call.get();
  }
  absl::MutexLock lock(&call->mutex_);
  call->ticket_ = *std::move(ticket);
  return call.get();
}

void PullCall::OnProgress(const msb::v1::PullProgress& progress) {
  {
    absl::MutexLock lock(&mutex_);
    waiting_[progress.digest()] = progress;
  }
  Advance();
}

void PullCall::OnPulled(const absl::StatusOr<msb::v1::Image>& image) {
  std::map<std::string, msb::v1::PullProgress> last;
  {
    absl::MutexLock lock(&mutex_);
    last.swap(waiting_);
  }
  for (auto& [digest, progress] : last) {
    msb::v1::PullImageResponse response;
    *response.mutable_progress() = std::move(progress);
    Push(std::move(response));
  }
  if (image.ok()) {
    msb::v1::PullImageResponse response;
    *response.mutable_done() = *image;
    Push(std::move(response));
  }
  End(image.status());
}

void PullCall::Advance() {
  msb::v1::PullImageResponse response;
  {
    absl::MutexLock lock(&mutex_);
    if (writing_ || waiting_.empty()) return;
    writing_ = true;
    *response.mutable_progress() = std::move(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
  }
  Push(std::move(response));
}

void PullCall::OnWritten(size_t) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
  }
  Advance();
}

void PullCall::OnCancel() {
  PullTicket leaving;  // outside the lock
  {
    absl::MutexLock lock(&mutex_);
    leaving = std::move(ticket_);
  }
  End(absl::CancelledError("the client went away"));
}

void PullCall::OnDone() {
  PullTicket leaving;
  {
    absl::MutexLock lock(&mutex_);
    leaving = std::move(ticket_);
  }
  QueuedCall::OnDone();
}

}  // namespace msb
