// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/loss.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/threads/loop_timer.h"

namespace msb {
namespace {

// Waits for one sandbox, kept alive by its observation and its timer.
class LossWatch : public std::enable_shared_from_this<LossWatch> {
 public:
  LossWatch(const SandboxContext& context, std::shared_ptr<Sandbox> sandbox, absl::Status loss,
            std::function<void(absl::Status)> done)
      : context_(context),
        sandbox_(std::move(sandbox)),
        loss_(std::move(loss)),
        done_(std::move(done)),
        settle_(context.loop) {}

  void Begin() {
    if (Settled()) return;
    observer_ = sandbox_->Observe([self = shared_from_this()] { self->Settled(); });
    if (sandbox_->state() == msb::v1::SANDBOX_STATE_STOPPING) return;
    settle_.Set(context_.config.agent.loss_settle, [self = shared_from_this()] {
      // On its way: its end, which is limited in time itself, is waited for.
      if (self->sandbox_->state() != msb::v1::SANDBOX_STATE_STOPPING) self->Finish(self->loss_);
    });
  }

 private:
  bool Settled() {
    const SandboxRecord& record = sandbox_->record();
    if (!IsAtRest(record.state) && record.state != msb::v1::SANDBOX_STATE_STARTING) return false;
    const Reason reason =
        record.reason == Reason::kUnspecified ? Reason::kStoppedByRequest : record.reason;
    std::string detail = absl::StrCat("the sandbox has stopped: ", ReasonName(reason));
    if (!record.reason_detail.empty()) absl::StrAppend(&detail, ": ", record.reason_detail);
    Finish(MakeError(Reason::kSandboxStopped, detail));
    return true;
  }

  void Finish(const absl::Status& status) {
    const std::shared_ptr<LossWatch> self = weak_from_this().lock();
    sandbox_->Unobserve(observer_);
    settle_.Cancel();
    if (const auto done = std::exchange(done_, nullptr)) done(status);
  }

  const SandboxContext& context_;
  const std::shared_ptr<Sandbox> sandbox_;
  const absl::Status loss_;
  std::function<void(absl::Status)> done_;
  LoopTimer settle_;
  uint64_t observer_ = 0;
};

}  // namespace

bool MayBeALoss(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case Reason::kExecLost:
    case Reason::kAgentUnreachable:
    case Reason::kSandboxStopped:
    case Reason::kFrameTruncated:
      return true;
    default:
      return false;
  }
}

void ExplainLoss(const SandboxContext& context, const std::weak_ptr<Sandbox>& sandbox,
                 absl::Status loss, std::function<void(absl::Status)> done) {
  context.loop.Post([&context, sandbox, loss = std::move(loss), done = std::move(done)] {
    const std::shared_ptr<Sandbox> held = sandbox.lock();
    if (!held) return done(MakeError(Reason::kSandboxStopped, "the sandbox was removed"));
    std::make_shared<LossWatch>(context, held, loss, done)->Begin();
  });
}

}  // namespace msb
