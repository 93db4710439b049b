// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sandbox: the processes beside its VMM. One that ends takes nothing with it but what it served.

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "supervisor/sandbox/companion_view.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/sandbox.h"

namespace msb {

void Sandbox::TakeCompanions(std::vector<LaunchedCompanion> companions) {
  record_.companions.clear();
  for (LaunchedCompanion& companion : companions) {
    record_.companions.push_back({.name = companion.name,
                                  .pid = companion.process.pid,
                                  .start_time_ticks = companion.process.start_time_ticks});
    WatchCompanion(companion.name, std::move(companion.pidfd));
  }
}

void Sandbox::AdoptCompanions() {
  const std::vector<CompanionRecord> records = record_.companions;
  for (const CompanionRecord& record : records) {
    if (!record.running) continue;
    absl::StatusOr<LaunchedCompanion> companion = context_.launcher.AdoptCompanion(
        record.name, {.pid = record.pid, .start_time_ticks = record.start_time_ticks}, plan_);
    if (companion.ok()) {
      WatchCompanion(record.name, std::move(companion->pidfd));
    } else {
      SetCompanionEnded(record.name, Reason::kCompanionDied,
                        std::string(companion.status().message()));
    }
  }
}

void Sandbox::WatchCompanion(const std::string& name, UniqueFd pidfd) {
  const absl::Status watched =
      context_.loop.Watch(pidfd.get(), EPOLLIN, [this, name](uint32_t) { OnCompanionEnded(name); });
  if (!watched.ok()) {
    MSB_LOG(kError) << "sandbox " << record_.id << ": " << name << " is not watched: " << watched;
    return;
  }
  run_->companions.insert_or_assign(name, std::move(pidfd));
}

void Sandbox::UnwatchCompanions() {
  for (const auto& [name, pidfd] : run_->companions) context_.loop.Unwatch(pidfd.get());
  run_->companions.clear();
}

void Sandbox::UnwatchCompanion(const std::string& name) {
  const auto companion = run_->companions.find(name);
  if (companion == run_->companions.end()) return;
  context_.loop.Unwatch(companion->second.get());
  run_->companions.erase(companion);
}

void Sandbox::TakeRestarted(const std::string& name, absl::StatusOr<LaunchedCompanion> restarted,
                            const Done& done) {
  if (!run_ || clearing_) return done(NotNow("restart a companion of"));
  if (!restarted.ok()) {
    SetCompanionEnded(name, Reason::kCompanionDied, std::string(restarted.status().message()));
    return done(restarted.status());
  }
  auto record = std::find_if(record_.companions.begin(), record_.companions.end(),
                             [&](const CompanionRecord& known) { return known.name == name; });
  if (record == record_.companions.end()) {
    record = record_.companions.insert(record_.companions.end(), CompanionRecord{.name = name});
  }
  *record = {.name = name,
             .pid = restarted->process.pid,
             .start_time_ticks = restarted->process.start_time_ticks};
  WatchCompanion(name, std::move(restarted->pidfd));
  msb::v1::Event event;
  event.set_sandbox_id(record_.id);
  event.set_sandbox_name(record_.spec.name());
  *event.mutable_companion() = ViewOf(*record);
  context_.events.Publish(std::move(event), record_.owner_uid);
  done(Journal());
}

void Sandbox::OnCompanionEnded(const std::string& name) {
  UnwatchCompanion(name);
  // Not while another takes its place: it would be cleared up in place of the dead one.
  network_turns_.Take([this, name](absl::StatusOr<Turns::Turn> turn) {
    if (!turn.ok() || !run_ || CompanionRuns(name)) return;
    RunBlocking(
        [&context = context_, plan = plan_, name] {
          return EndedCompanion{name, context.launcher.EndCompanion(plan, name)};
        },
        [turn = *std::move(turn)](Sandbox& self, EndedCompanion ended) {
          self.OnCompanionCleared(std::move(ended));
        });
  });
}

void Sandbox::OnCompanionCleared(EndedCompanion ended) {
  // With its sandbox: all of it is being cleared up.
  if (!run_ || clearing_ || state() == msb::v1::SANDBOX_STATE_STOPPING) return;
  if (!ended.end.ok()) {
    return SetCompanionEnded(ended.name, Reason::kCompanionDied,
                             std::string(ended.end.status().message()));
  }
  const Reason reason = ended.end->orderly ? Reason::kUnspecified : Reason::kCompanionDied;
  SetCompanionEnded(ended.name, reason, ended.end->detail);
}

void Sandbox::SetCompanionEnded(absl::string_view name, Reason reason, std::string detail) {
  const auto record =
      std::find_if(record_.companions.begin(), record_.companions.end(),
                   [&](const CompanionRecord& candidate) { return candidate.name == name; });
  if (record == record_.companions.end()) return;
  record->running = false;
  record->pid = 0;
  record->reason = reason;
  record->detail = std::move(detail);
  MSB_LOG(kWarning) << "sandbox " << record_.id << " (" << record_.spec.name()
                    << ") runs on without a companion: " << record->detail;
  if (const absl::Status status = Journal(); !status.ok()) {
    MSB_LOG(kError) << "sandbox " << record_.id << ": " << status.message();
  }
  msb::v1::Event event;
  event.set_sandbox_id(record_.id);
  event.set_sandbox_name(record_.spec.name());
  *event.mutable_companion() = ViewOf(*record);
  context_.events.Publish(std::move(event), record_.owner_uid);
}

}  // namespace msb
