// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/metrics_call.h"

#include <algorithm>
#include <utility>

#include "supervisor/sandbox/metrics.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

// A reading asks the guest; more often than this it would measure itself.
constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);

}  // namespace

grpc::ServerWriteReactor<msb::v1::Metrics>* MetricsCall::Begin(
    const ApiContext& api, grpc::CallbackServerContext& context,
    const msb::v1::GetMetricsRequest& request) {
  const auto call = std::make_shared<MetricsCall>(context);
  call->Hold(call);
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
  const absl::StatusOr<absl::Duration> interval = DurationFromProto(request.interval(), "interval");
  if (!caller.ok() || !interval.ok()) {
    call->End(caller.ok() ? interval.status() : caller.status());
    return call.get();
  }
  if (request.has_interval()) call->interval_ = std::max(*interval, kShortestInterval);
  api.registry.With(*caller, request.sandbox(), [call](Registry::Found found) {
    if (!found.ok()) return call->End(found.status());
    call->sandbox_ = *std::move(found);
    call->Collect();
  });
  return call.get();
}

void MetricsCall::Collect() {
  const auto self = std::static_pointer_cast<MetricsCall>(held());
  if (self == nullptr) return;
  CollectMetrics(sandbox_, [self](absl::StatusOr<msb::v1::Metrics> metrics) {
    if (!metrics.ok()) return self->End(metrics.status());
    self->Push(*std::move(metrics));
    if (self->interval_ == absl::ZeroDuration()) self->End(absl::OkStatus());
  });
}

void MetricsCall::OnWritten(size_t) {
  if (interval_ == absl::ZeroDuration()) return;
  EventLoop& loop = sandbox_->context().loop;
  loop.Post([this, &loop, held = held()] {
    if (held != nullptr) loop.After(interval_, [this, held] { Collect(); });
  });
}

}  // namespace msb
