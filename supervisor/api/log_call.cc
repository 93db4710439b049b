// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/log_call.h"

#include <string>
#include <utility>

#include "base/error.h"

namespace msb {
namespace {

bool HasVmm(const SandboxPtr& sandbox) {
  switch (sandbox->state()) {
    case msb::v1::SANDBOX_STATE_STOPPED:
    case msb::v1::SANDBOX_STATE_FAILED:
      return false;
    default:
      return !sandbox->removed();
  }
}

}  // namespace

grpc::ServerWriteReactor<msb::v1::LogsChunk>* LogCall::Begin(const ApiContext& api,
                                                             grpc::CallbackServerContext& context,
                                                             const msb::v1::LogsRequest& request) {
  const auto call = std::make_shared<LogCall>(context);
  call->Hold(call);
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
  if (!caller.ok()) {
    call->End(caller.status());
    return call.get();
  }
  api.registry.With(*caller, request.sandbox(), [call, request](Registry::Found found) {
    if (!found.ok()) return call->End(found.status());
    call->Start(*found, request);
  });
  return call.get();
}

void LogCall::Start(const SandboxPtr& sandbox, const msb::v1::LogsRequest& request) {
  const uint64_t limit = uint64_t{sandbox->context().config.limits.console_log_kib} << 10;
  const bool follow = request.follow() && HasVmm(sandbox);
  auto follower = ConsoleFollower::Start(
      *sandbox->context().io_loops.front(),
      ConsoleLogReader(sandbox->plan().console_log, limit, request.tail_bytes()),
      follow ? ConsoleFollower::Follow::kWhatComes : ConsoleFollower::Follow::kToTheEnd);
  {
    absl::MutexLock lock(&mutex_);
    follower_ = std::move(follower);
  }
  if (follow) Watch(sandbox);
  AskForMore();
}

// The log ends with its VMM.
void LogCall::Watch(const SandboxPtr& sandbox) {
  auto id = std::make_shared<uint64_t>(0);
  const std::weak_ptr<Sandbox> weak = sandbox;
  absl::MutexLock lock(&mutex_);
  const std::weak_ptr<ConsoleFollower> follower = follower_;
  *id = sandbox->Observe([weak, follower, id] {
    const auto observed = weak.lock();
    const auto alive = follower.lock();
    if (alive != nullptr && observed != nullptr && HasVmm(observed)) return alive->LookAgain();
    if (alive != nullptr) alive->Finish();
    if (observed == nullptr) return;
    observed->context().loop.Post([observed, id] { observed->Unobserve(*id); });
  });
}

void LogCall::AskForMore() {
  std::shared_ptr<ConsoleFollower> follower;
  {
    absl::MutexLock lock(&mutex_);
    follower = follower_;
  }
  if (follower == nullptr) return;
  const auto self = std::static_pointer_cast<LogCall>(held());
  if (self == nullptr) return;
  follower->Next([self](absl::StatusOr<std::string> piece) {
    if (!piece.ok() || piece->empty()) return self->End(piece.status());
    msb::v1::LogsChunk chunk;
    chunk.set_data(*std::move(piece));
    self->Push(std::move(chunk));
  });
}

void LogCall::OnCancel() {
  std::shared_ptr<ConsoleFollower> follower;
  {
    absl::MutexLock lock(&mutex_);
    follower = std::exchange(follower_, nullptr);
  }
  if (follower != nullptr) follower->Cancel();
  End(absl::CancelledError("the client went away"));
}

}  // namespace msb
