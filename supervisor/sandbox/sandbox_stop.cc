// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sandbox: pause, stop, the end of a run and the end of all.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/sandbox.h"

namespace msb {
namespace {

using VmmResponse = absl::StatusOr<msb::vmm::v1::ControlResponse>;
using AgentResponse = absl::StatusOr<msb::agent::v1::ControlResponse>;

}  // namespace

void Sandbox::Answer(std::vector<Done>& waiters, const absl::Status& status) {
  for (const Done& done : std::exchange(waiters, {})) done(status);
}

void Sandbox::Pause(Done done) {
  if (state() == msb::v1::SANDBOX_STATE_PAUSED) return done(absl::OkStatus());
  if (state() != msb::v1::SANDBOX_STATE_RUNNING) return done(NotNow("pause"));
  run_->control->Pause([weak = weak_from_this(), done = std::move(done)](VmmResponse response) {
    const auto self = weak.lock();
    if (!self || !response.ok()) return done(response.status());
    if (self->state() == msb::v1::SANDBOX_STATE_RUNNING) {
      self->SetState(msb::v1::SANDBOX_STATE_PAUSED);
      self->idle_timer_.Cancel();
    }
    done(self->state() == msb::v1::SANDBOX_STATE_PAUSED ? absl::OkStatus() : self->NotNow("pause"));
  });
}

void Sandbox::Resume(Done done) {
  if (state() == msb::v1::SANDBOX_STATE_RUNNING) return done(absl::OkStatus());
  if (state() != msb::v1::SANDBOX_STATE_PAUSED) return done(NotNow("resume"));
  run_->control->Resume([weak = weak_from_this(), done = std::move(done)](VmmResponse response) {
    const auto self = weak.lock();
    if (!self || !response.ok()) return done(response.status());
    if (self->state() == msb::v1::SANDBOX_STATE_PAUSED) {
      self->SetState(msb::v1::SANDBOX_STATE_RUNNING);
      self->ArmIdleTimer();
    }
    if (self->state() != msb::v1::SANDBOX_STATE_RUNNING) return done(self->NotNow("resume"));
    msb::agent::v1::ControlRequest request;
    request.set_set_clock_ns(0);  // filled in as it is sent
    self->run_->agent->Request(
        std::move(request), self->OnLoop<AgentResponse>([done](Sandbox&, const AgentResponse& set) {
          done(set.status());
        }));
  });
}

void Sandbox::Stop(StopOptions options, Done done) {
  if (IsAtRest(state())) return done(absl::OkStatus());
  if (state() == msb::v1::SANDBOX_STATE_CREATING) return done(NotNow("stop"));
  stop_waiters_.push_back(std::move(done));
  const auto from = state();
  if (from == msb::v1::SANDBOX_STATE_STOPPING) {
    if (options.force) EndRun();
    return;
  }
  verdict_ = EndVerdict{.reason = options.reason, .detail = options.detail};
  SetState(msb::v1::SANDBOX_STATE_STOPPING, options.reason, options.detail);
  if (from == msb::v1::SANDBOX_STATE_STARTING || options.force) return EndRun();
  const absl::Duration grace = options.grace.value_or(context_.config.sandbox.stop_grace);
  if (from == msb::v1::SANDBOX_STATE_RUNNING) return ShutDownGuest(grace, OnRefusal::kKill);
  // A frozen guest hears nothing.
  run_->control->Resume([weak = weak_from_this(), grace](VmmResponse response) {
    const auto self = weak.lock();
    if (!self || !self->run_ || self->clearing_) return;
    if (response.ok()) return self->ShutDownGuest(grace, OnRefusal::kKill);
    self->EndRun();
  });
}

void Sandbox::ShutDownGuest(absl::Duration grace, OnRefusal on_refusal) {
  idle_timer_.Cancel();
  lifetime_timer_.Cancel();
  const absl::Duration limit = grace + context_.config.sandbox.stop_margin;
  stop_timer_.Set(limit, [this] {
    MSB_LOG(kWarning) << "sandbox " << record_.id << " did not power off in time; killing it";
    EndRun();
  });
  msb::agent::v1::ControlRequest request;
  request.mutable_shutdown()->set_grace_ms(
      static_cast<uint32_t>(std::min<int64_t>(absl::ToInt64Milliseconds(grace), UINT32_MAX)));
  request.mutable_shutdown()->set_stop_signal(run_->image.stop_signal);
  const auto answered = [on_refusal](Sandbox& self, const AgentResponse& response) {
    if (response.ok() || self.state() != msb::v1::SANDBOX_STATE_STOPPING || self.clearing_) return;
    MSB_LOG(kWarning) << "sandbox " << self.record_.id
                      << " cannot be shut down from within: " << response.status().message();
    if (on_refusal == OnRefusal::kKill) self.EndRun();
  };
  run_->agent->Request(std::move(request), OnLoop<AgentResponse>(answered), limit);
}

void Sandbox::OnVmmEnded() { EndRun(); }

// The one way out of every run: what is left of the VMM is killed and cleared up, then the verdict
// falls.
void Sandbox::EndRun() {
  if (state() != msb::v1::SANDBOX_STATE_STOPPING) {
    SetState(msb::v1::SANDBOX_STATE_STOPPING, verdict_ ? verdict_->reason : Reason::kUnspecified,
             verdict_ ? verdict_->detail : "");
  }
  start_timer_.Cancel();
  stop_timer_.Cancel();
  idle_timer_.Cancel();
  lifetime_timer_.Cancel();
  if (clearing_ || launching_) return;  // OnLaunched comes here again
  clearing_ = true;
  if (run_) {
    context_.loop.Unwatch(run_->vmm.pidfd.get());
    UnwatchCompanions();
    if (run_->control) run_->control->Close();
    if (run_->agent) {
      run_->agent->Close(MakeError(Reason::kSandboxStopped, "the sandbox has stopped"));
    }
  }
  RunBlocking([&context = context_, plan = plan_] { return ClearUpVmm(context.launcher, plan); },
              &Sandbox::OnCleared);
}

void Sandbox::OnCleared(VmmEnd end) {
  clearing_ = false;
  missed_snapshot_.reset();
  const std::optional<MachineShape> fell_from = std::exchange(unproven_snapshot_, std::nullopt);
  run_.reset();
  running_execs_.clear();
  opening_execs_.clear();
  file_operations_ = 0;
  const EndVerdict verdict = verdict_ ? *std::exchange(verdict_, std::nullopt) : JudgeEnd(end);
  record_.has_vmm = !end.clean_up.ok();
  for (auto& port : *record_.spec.mutable_network()->mutable_ports()) port.set_bound_port(0);
  record_.pid = 0;
  record_.companions.clear();
  const bool wanted = stop_waiters_.empty() && !start_waiters_.empty();
  if (fell_from && wanted && MayBeTheSnapshots(verdict)) {
    return BootInstead(*fell_from, verdict,
                       record_.has_vmm ? Leftovers::kClearFirst : Leftovers::kNone);
  }
  record_.stopped_at = absl::Now();
  SetState(verdict.failed ? msb::v1::SANDBOX_STATE_FAILED : msb::v1::SANDBOX_STATE_STOPPED,
           verdict.reason, verdict.detail);
  if (start_error_.ok()) {
    start_error_ =
        verdict.failed
            ? MakeError(Reason::kSandboxStartFailed,
                        absl::StrCat("the machine ended before its agent was ready: ",
                                     ReasonName(verdict.reason), ": ", verdict.detail))
            : MakeError(Reason::kSandboxStopped, "the sandbox was stopped while it was starting");
  }
  Answer(start_waiters_, std::exchange(start_error_, absl::OkStatus()));
  Answer(stop_waiters_, absl::OkStatus());
  if (record_.spec.remove_on_exit() && IsAtRest(state())) Remove([](const absl::Status&) {});
}

void Sandbox::Remove(Done done) {
  if (removed_) return done(absl::OkStatus());
  if (!IsAtRest(state())) return done(NotNow("remove"));
  const bool first = remove_waiters_.empty();
  remove_waiters_.push_back(std::move(done));
  if (!first) return;
  record_.removing = true;
  if (const absl::Status status = Journal(); !status.ok()) return Answer(remove_waiters_, status);
  RunBlocking(
      [&context = context_, record = record_] { return RemoveSandboxFiles(context, record); },
      &Sandbox::OnFilesRemoved);
}

void Sandbox::OnFilesRemoved(absl::Status status) {
  if (status.ok()) status = context_.store.Delete(record_.id);
  if (!status.ok()) {
    // Still `removing`: the next Remove, or the next life of the daemon, tries again.
    MSB_LOG(kError) << "sandbox " << record_.id << " could not be removed: " << status.message();
    return Answer(remove_waiters_, status);
  }
  const std::shared_ptr<Sandbox> self = shared_from_this();  // the registry lets go of it
  removed_ = true;
  on_removed_();
  record_.reason = Reason::kUnspecified;
  record_.reason_detail.clear();
  Announce(state(), msb::v1::SANDBOX_STATE_UNSPECIFIED);
  Answer(remove_waiters_, absl::OkStatus());
}

}  // namespace msb
