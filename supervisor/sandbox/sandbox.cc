// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/sandbox.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/companion_view.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

using msb::v1::SandboxState;
using AgentResponse = absl::StatusOr<msb::agent::v1::ControlResponse>;

// Limits come from the journal and were checked before they got there.
absl::Duration CheckedDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void SetTimestamp(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t ns = absl::ToUnixNanos(time);
  out.set_seconds(ns / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
}

}  // namespace

Sandbox::Sandbox(const SandboxContext& context, SandboxRecord record,
                 std::function<void()> on_removed, Neighbours neighbours)
    : context_(context),
      record_(std::move(record)),
      plan_(context.launcher.Plan(record_.id, record_.slot)),
      on_removed_(std::move(on_removed)),
      neighbours_(std::move(neighbours)),
      network_turns_(context.loop),
      start_timer_(context.loop),
      stop_timer_(context.loop),
      idle_timer_(context.loop),
      lifetime_timer_(context.loop) {}

Sandbox::~Sandbox() { LeaveRun(); }

// The VMM lives on; a later life of the daemon adopts it.
void Sandbox::LeaveRun() {
  if (!run_) return;
  if (run_->vmm.pidfd.valid()) context_.loop.Unwatch(run_->vmm.pidfd.get());
  UnwatchCompanions();
  if (run_->control) run_->control->Close();
  run_.reset();
}

msb::v1::Sandbox Sandbox::View() const {
  msb::v1::Sandbox view;
  view.set_id(record_.id);
  view.set_name(record_.spec.name());
  view.set_state(record_.state);
  view.set_reason(static_cast<msb::v1::Reason>(record_.reason));
  view.set_reason_detail(record_.reason_detail);
  *view.mutable_spec() = record_.spec;
  view.set_engine(record_.engine);
  view.set_engine_choice(record_.engine_choice);
  view.set_owner_uid(record_.owner_uid);
  SetTimestamp(record_.created_at, *view.mutable_created_at());
  if (record_.started_at != absl::UnixEpoch()) {
    SetTimestamp(record_.started_at, *view.mutable_started_at());
  }
  if (record_.stopped_at != absl::UnixEpoch()) {
    SetTimestamp(record_.stopped_at, *view.mutable_stopped_at());
  }
  for (const auto& stage : record_.start_stages) *view.add_start_stages() = stage;
  for (const CompanionRecord& companion : record_.companions) {
    *view.add_companions() = ViewOf(companion);
  }
  return view;
}

absl::Status Sandbox::Journal() {
  if (!removed_) return context_.store.Put(record_);
  // The next daemon would find it again.
  return MakeError(Reason::kSandboxNotFound, "the sandbox has been removed");
}

void Sandbox::SetState(SandboxState state, Reason reason, std::string detail) {
  MSB_CHECK(MayFollow(record_.state, state));
  const SandboxState from = std::exchange(record_.state, state);
  record_.reason = reason;
  record_.reason_detail = std::move(detail);
  // What has happened is true whether or not it could be written down; what is about to be made is
  // journalled by those who make it, and not made when that fails.
  if (const absl::Status status = Journal(); !status.ok()) {
    MSB_LOG(kError) << "sandbox " << record_.id << " is " << StateName(state)
                    << " but could not be journalled: " << status.message();
  }
  Announce(from, state);
}

void Sandbox::Announce(SandboxState from, SandboxState to) {
  MSB_LOG(kInfo) << "sandbox " << record_.id << " (" << record_.spec.name()
                 << "): " << StateName(from) << " -> " << (removed_ ? "removed" : StateName(to))
                 << (record_.reason == Reason::kUnspecified ? "" : " ")
                 << (record_.reason == Reason::kUnspecified ? "" : ReasonName(record_.reason))
                 << (record_.reason_detail.empty() ? "" : ": ") << record_.reason_detail;
  msb::v1::Event event;
  event.set_sandbox_id(record_.id);
  event.set_sandbox_name(record_.spec.name());
  auto& change = *event.mutable_state_change();
  change.set_from(from);
  change.set_to(to);
  change.set_reason(static_cast<msb::v1::Reason>(record_.reason));
  change.set_detail(record_.reason_detail);
  context_.events.Publish(std::move(event), record_.owner_uid);
  // An observer may leave while it is told.
  std::vector<uint64_t> ids;
  for (const auto& [id, observer] : observers_) ids.push_back(id);
  for (const uint64_t id : ids) {
    const auto it = observers_.find(id);
    if (it == observers_.end()) continue;
    const auto changed = it->second;
    changed();
  }
}

absl::Status Sandbox::NotNow(absl::string_view verb) const {
  return MakeError(Reason::kSandboxWrongState,
                   absl::StrCat("cannot ", verb, " a sandbox that is ", StateName(state())));
}

uint64_t Sandbox::Observe(std::function<void()> changed) {
  const uint64_t id = next_observer_++;
  observers_.emplace(id, std::move(changed));
  return id;
}

void Sandbox::EndCalls() {
  const absl::Status ending =
      MakeError(Reason::kDaemonShuttingDown,
                "the daemon ends; the sandbox goes on, and the next daemon has it");
  // The VMM, the timers and those who count commands for us are the next daemon's.
  for (LoopTimer* timer : {&start_timer_, &stop_timer_, &idle_timer_, &lifetime_timer_}) {
    timer->Cancel();
  }
  std::exchange(count_waiters_, {});
  for (auto* waiters : {&start_waiters_, &stop_waiters_, &remove_waiters_}) {
    Answer(*waiters, ending);
  }
  network_turns_.Refuse(ending);
  if (run_ && run_->agent) run_->agent->Close(ending);
}

void Sandbox::LetGo() {
  std::exchange(observers_, {});
  for (auto* waiters : {&start_waiters_, &stop_waiters_, &remove_waiters_, &count_waiters_}) {
    std::exchange(*waiters, {});
  }
  network_turns_.Forget();
  if (run_ && run_->agent) run_->agent->Abandon();
  // Now: what a worker has posted meanwhile keeps the sandbox for longer than its context lives.
  LeaveRun();
}

absl::StatusOr<Sandbox::Guest> Sandbox::UseGuest() const {
  if (state() == msb::v1::SANDBOX_STATE_RUNNING && run_ && run_->agent) {
    return Guest{.agent = run_->agent, .image = &run_->image};
  }
  if (state() == msb::v1::SANDBOX_STATE_PAUSED) {
    return MakeError(Reason::kSandboxWrongState, "the sandbox is paused; resume it first");
  }
  std::string detail = absl::StrCat("the sandbox is ", StateName(state()));
  if (record_.reason != Reason::kUnspecified) {
    absl::StrAppend(&detail, " (", ReasonName(record_.reason), ")");
  }
  return MakeError(Reason::kSandboxNotRunning, detail);
}

std::shared_ptr<void> Sandbox::BeginActivity() {
  ++active_;
  idle_timer_.Cancel();
  const auto end = OnLoop<bool>([](Sandbox& self, bool) { self.EndActivity(); });
  return std::shared_ptr<void>(nullptr, [end](void*) { end(true); });
}

void Sandbox::EndActivity() {
  --active_;
  ArmIdleTimer();
}

void Sandbox::ArmTimers() {
  ArmIdleTimer();
  lifetime_timer_.Cancel();
  const absl::Duration lifetime = CheckedDuration(record_.spec.limits().lifetime());
  if (lifetime == absl::ZeroDuration() || !run_ || state() == msb::v1::SANDBOX_STATE_STOPPING)
    return;
  lifetime_timer_.Set(record_.started_at + lifetime - absl::Now(), [this] {
    Stop({.reason = Reason::kLifetimeExceeded, .detail = "the sandbox's lifetime is over"},
         [](const absl::Status&) {});
  });
}

void Sandbox::ArmIdleTimer() {
  idle_timer_.Cancel();
  const absl::Duration idle = CheckedDuration(record_.spec.limits().idle_timeout());
  if (idle == absl::ZeroDuration() || active_ > 0 || state() != msb::v1::SANDBOX_STATE_RUNNING) {
    return;
  }
  idle_timer_.Set(idle, [this] { OnIdle(); });
}

// Nobody has used the sandbox from outside; a command that was left running inside counts as use.
void Sandbox::OnIdle() {
  CountExecs([this](const absl::Status& counted) {
    if (state() != msb::v1::SANDBOX_STATE_RUNNING || active_ > 0) return;
    // A copy goes on past a daemon that ends: the next one has this word for it alone.
    const bool is_used = !running_execs_.empty() || file_operations_ > 0;
    if (counted.ok() && is_used) return ArmIdleTimer();
    Stop({.reason = Reason::kIdleTimeout, .detail = "nothing used the sandbox"},
         [](const absl::Status&) {});
  });
}

void Sandbox::CountExecs(Done done) {
  if (!run_ || !run_->agent) return done(NotNow("ask"));
  count_waiters_.push_back(std::move(done));
  if (count_waiters_.size() > 1) return;
  msb::agent::v1::ControlRequest request;
  request.mutable_list_execs();
  // One that was started since may be missing in the answer.
  const auto counted = [before = running_execs_](Sandbox& self, const AgentResponse& response) {
    if (response.ok()) self.TakeExecs(before, response->execs());
    Answer(self.count_waiters_, response.status());
  };
  run_->agent->Request(std::move(request), OnLoop<AgentResponse>(counted));
}

void Sandbox::ExecBegun(const std::string& id) {
  running_execs_.insert(id);
  opening_execs_.insert(id);
}

bool Sandbox::ExecEnded(const std::string& id) {
  opening_execs_.erase(id);
  return running_execs_.erase(id) > 0;
}

void Sandbox::TakeExecs(const std::set<std::string>& before,
                        const msb::agent::v1::ExecList& execs) {
  std::set<std::string> running;
  for (const auto& exec : execs.execs()) {
    if (exec.running()) running.insert(exec.exec_id());
  }
  for (const std::string& id : before) {
    if (!running.contains(id) && !opening_execs_.contains(id)) running_execs_.erase(id);
  }
  running_execs_.merge(running);
  file_operations_ = execs.file_operations();
}

absl::Status Sandbox::Update(const msb::v1::UpdateRequest& changes) {
  msb::v1::SandboxSpec spec = record_.spec;
  for (const auto& [key, value] : changes.set_labels()) (*spec.mutable_labels())[key] = value;
  for (const std::string& key : changes.remove_labels()) spec.mutable_labels()->erase(key);
  MSB_RETURN_IF_ERROR(ValidateLabels(spec));
  MSB_RETURN_IF_ERROR(MergeLimits(changes.limits(), *spec.mutable_limits()));
  if (changes.disk_mib() != 0) {
    MSB_RETURN_IF_ERROR(
        ResizeDisk(changes.disk_mib(), context_.config.limits, *spec.mutable_resources()));
  }
  std::swap(record_.spec, spec);
  if (const absl::Status status = Journal(); !status.ok()) {
    std::swap(record_.spec, spec);
    return status;
  }
  ArmTimers();
  return absl::OkStatus();
}

}  // namespace msb
