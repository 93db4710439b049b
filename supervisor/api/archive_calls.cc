// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/archive_calls.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb {
namespace {

constexpr int kMaxSavedImages = 64;
constexpr size_t kMaxPieceBytes = 1u << 20;

}  // namespace

grpc::ServerReadReactor<msb::v1::LoadImageRequest>* LoadCall::Begin(
    const ApiContext& api, grpc::CallbackServerContext& context,
    msb::v1::LoadImageResponse* response) {
  const auto call = std::make_shared<LoadCall>(context, response,
                                               api.registry.context().config.images.stall_timeout);
  call->self_ = call;
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
  if (!caller.ok()) {
    call->Answer(caller.status());
    return call.get();
  }
  call->StartRead(&call->request_);
  Images& images = api.registry.context().images;
  images.Run([call, &images, caller = *caller] { call->Load(images, caller); });
  return call.get();
}

void LoadCall::Load(Images& images, const Caller& caller) {
  LoadSpec spec{.caller = caller, .name = ""};
  {
    // The name comes with the first piece.
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(this, &LoadCall::HasNews), patience_);
    spec.name = name_;
  }
  absl::StatusOr<msb::v1::LoadImageResponse> loaded = images.Load(spec, cancel_, *this);
  if (loaded.ok()) *response_ = *std::move(loaded);
  Answer(loaded.status());
}

absl::StatusOr<std::optional<std::string>> LoadCall::Next() {
  std::optional<std::string> piece;
  {
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &LoadCall::HasNews), patience_)) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("the client sent nothing of the archive for ",
                                    absl::FormatDuration(patience_), " (images.stall_timeout)"));
    }
    if (stopped_) return absl::CancelledError("nobody reads the archive any more");
    if (!piece_) {
      if (broken_) return absl::CancelledError("the client went away");
      return std::nullopt;
    }
    piece.swap(piece_);
  }
  StartRead(&request_);
  return piece;
}

void LoadCall::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

void LoadCall::OnReadDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  if (!ok) {
    // At the end of the stream, or of the client: OnCancel tells the one from the other.
    if (context_.IsCancelled()) broken_ = true;
    ended_ = true;
    return;
  }
  if (request_.data().size() > kMaxPieceBytes) {
    broken_ = true;
    return;
  }
  if (name_.empty()) name_ = request_.name();
  piece_ = std::move(*request_.mutable_data());
}

void LoadCall::OnCancel() {
  cancel_.Cancel();
  absl::MutexLock lock(&mutex_);
  broken_ = true;
}

void LoadCall::Answer(const absl::Status& status) { Finish(Outcome(context_, status)); }

grpc::ServerWriteReactor<msb::v1::SaveImageResponse>* SaveCall::Begin(
    const ApiContext& api, grpc::CallbackServerContext& context,
    const msb::v1::SaveImageRequest& request) {
  const auto call =
      std::make_shared<SaveCall>(context, api.registry.context().config.images.stall_timeout);
  call->Hold(call);
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
  if (!caller.ok()) {
    call->End(caller.status());
    return call.get();
  }
  if (request.images_size() == 0 || request.images_size() > kMaxSavedImages) {
    call->End(MakeError(Reason::kInvalidArgument,
                        absl::StrCat("save takes 1 to ", kMaxSavedImages, " images")));
    return call.get();
  }
  std::vector<std::string> names(request.images().begin(), request.images().end());
  Images& images = api.registry.context().images;
  images.Run([call, &images, caller = *caller, names = std::move(names)] {
    call->End(images.Save(caller, names, call->cancel_,
                          [&](std::string bytes) { return call->Send(std::move(bytes)); }));
  });
  return call.get();
}

bool SaveCall::Send(std::string bytes) {
  {
    absl::MutexLock lock(&mutex_);
    const bool may = mutex_.AwaitWithTimeout(absl::Condition(this, &SaveCall::MaySend), patience_);
    if (!may || broken_) return false;
    writing_ = true;
  }
  msb::v1::SaveImageResponse response;
  *response.mutable_data() = std::move(bytes);
  Push(std::move(response));
  return true;
}

void SaveCall::OnWritten(size_t) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
}

void SaveCall::OnCancel() {
  cancel_.Cancel();
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
  }
  End(absl::CancelledError("the client went away"));
}

}  // namespace msb
