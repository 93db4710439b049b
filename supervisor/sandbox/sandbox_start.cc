// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sandbox: from nothing to running, and back to where an earlier daemon left off.

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/sandbox.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

using msb::vmm::v1::VmEvent;
using VmmResponse = absl::StatusOr<msb::vmm::v1::ControlResponse>;
using AgentResponse = absl::StatusOr<msb::agent::v1::ControlResponse>;

// A VMM's clock is the host's monotonic one, which all our stages are told by.
absl::Time MonotonicNow() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::TimeFromTimespec(now);
}

}  // namespace

void Sandbox::MakeFiles(Done done) {
  start_waiters_.push_back(std::move(done));
  RunBlocking([&context = context_, record = record_] { return MakeSandboxFiles(context, record); },
              &Sandbox::OnFilesMade);
}

void Sandbox::OnFilesMade(absl::Status status) {
  if (status.ok()) {
    SetState(msb::v1::SANDBOX_STATE_STOPPED);
  } else {
    SetState(msb::v1::SANDBOX_STATE_FAILED, ReasonOf(status), std::string(status.message()));
  }
  Answer(start_waiters_, status);
}

void Sandbox::TakeGroups(const Caller& caller) {
  if (caller.way != Caller::Way::kSocket || caller.uid != record_.owner_uid) return;
  record_.owner_gid = caller.gid;
  record_.owner_groups = caller.groups;
}

void Sandbox::Start(Done done, SecretValues values) {
  if (state() == msb::v1::SANDBOX_STATE_RUNNING) return done(TakeMissingValues(std::move(values)));
  if (state() == msb::v1::SANDBOX_STATE_STARTING) {
    // It starts with those that it was given.
    if (!values.empty()) return done(NotNow("give values to"));
    return start_waiters_.push_back(std::move(done));
  }
  if (!IsAtRest(state()) || record_.removing) return done(NotNow("start"));
  if (absl::Status status = CheckSecretValues(values); !status.ok()) return done(std::move(status));
  AddSecretValues(std::move(values));
  start_request_ = MonotonicNow();
  const SandboxRecord before = record_;
  const msb::v1::SandboxState from = record_.state;
  record_.state = msb::v1::SANDBOX_STATE_STARTING;
  record_.reason = Reason::kUnspecified;
  record_.reason_detail.clear();
  record_.start_stages.clear();
  record_.has_vmm = true;
  record_.pid = 0;
  record_.companions.clear();
  if (absl::Status status = Journal(); !status.ok()) {
    record_ = before;
    return done(std::move(status));
  }
  start_waiters_.push_back(std::move(done));
  Mark("journalled", MonotonicNow());
  Announce(from, record_.state);
  BeginLaunch(before.has_vmm ? Leftovers::kClearFirst : Leftovers::kNone);
}

void Sandbox::BeginLaunch(Leftovers leftovers) {
  verdict_.reset();
  start_error_ = absl::OkStatus();
  start_timer_.Set(context_.config.sandbox.start_timeout, [this] {
    FailStart(MakeError(Reason::kSandboxStartTimeout,
                        absl::StrCat("the agent was not ready within ",
                                     absl::FormatDuration(context_.config.sandbox.start_timeout))));
  });
  Launch(leftovers);
}

// A machine that does not come up from its snapshot is no reason not to start.
void Sandbox::BootInstead(const MachineShape& shape, const EndVerdict& verdict,
                          Leftovers leftovers) {
  context_.snapshots.GiveUp(shape, verdict.detail);
  record_.has_vmm = true;
  record_.start_stages.clear();
  SetState(msb::v1::SANDBOX_STATE_STARTING);
  BeginLaunch(leftovers);
}

void Sandbox::Launch(Leftovers leftovers) {
  launching_ = true;
  // A change of the network that is under way still becomes part of the record.
  network_turns_.Take([this, leftovers](absl::StatusOr<Turns::Turn> turn) {
    if (!turn.ok()) return;  // the daemon ends
    RunBlocking([&context = context_, record = record_, secrets = secret_values_,
                 leftovers] { return LaunchVmm(context, record, secrets, leftovers); },
                [turn = *std::move(turn)](Sandbox& self, absl::StatusOr<LaunchOutcome> outcome) {
                  self.OnLaunched(std::move(outcome));
                });
  });
}

void Sandbox::OnLaunched(absl::StatusOr<LaunchOutcome> outcome) {
  launching_ = false;
  if (!outcome.ok()) return FailStart(outcome.status());
  (outcome->from_snapshot ? unproven_snapshot_ : missed_snapshot_) = outcome->shape;
  record_.pid = outcome->vmm.process.pid;
  record_.start_time_ticks = outcome->vmm.process.start_time_ticks;
  record_.engine = outcome->engine.engine == msb::vmm::v1::ENGINE_KVM ? msb::v1::ENGINE_KVM
                                                                      : msb::v1::ENGINE_QEMU;
  record_.engine_choice =
      record_.spec.engine() == msb::v1::ENGINE_AUTO ? outcome->engine.explanation : "";
  msb::v1::Network& network = *record_.spec.mutable_network();
  for (size_t i = 0; i < outcome->bound_ports.size(); ++i) {
    network.mutable_ports(static_cast<int>(i))->set_bound_port(outcome->bound_ports[i]);
  }
  run_.emplace(Run{.vmm = std::move(outcome->vmm),
                   .image = std::move(outcome->image),
                   .restored = outcome->from_snapshot});
  TakeCompanions(std::move(run_->vmm.companions));
  Mark("jailed", MonotonicNow());
  MeetNeighbours();
  absl::Status status = Journal();
  // Stopped, or too late, while the worker was at it.
  if (state() != msb::v1::SANDBOX_STATE_STARTING) return EndRun();
  if (status.ok()) status = ServeVmm();
  // A VMM that has ended already: OnVmmEnded comes in a moment, and knows how.
  if (ReasonOf(status) == Reason::kVmmDied) return;
  if (!status.ok()) FailStart(std::move(status));
}

void Sandbox::Mark(absl::string_view stage, absl::Time when) {
  // A VMM that lies about its clock makes no stage before the request or in the future.
  const absl::Time sane =
      std::clamp(when, start_request_, std::max(start_request_, MonotonicNow()));
  auto& mark = record_.start_stages.emplace_back();
  mark.set_name(std::string(stage));
  DurationToProto(sane - start_request_, *mark.mutable_since_request());
}

absl::Status Sandbox::ServeVmm() {
  MSB_RETURN_IF_ERROR(
      context_.loop.Watch(run_->vmm.pidfd.get(), EPOLLIN, [this](uint32_t) { OnVmmEnded(); }));
  MSB_ASSIGN_OR_RETURN(run_->control,
                       VmmControl::Connect(context_.loop, plan_.control_socket,
                                           context_.config.agent.request_timeout,
                                           [this](const VmEvent& event) { OnVmEvent(event); }));
  return absl::OkStatus();
}

void Sandbox::OnVmEvent(const VmEvent& event) {
  if (state() != msb::v1::SANDBOX_STATE_STARTING) return;
  const absl::Time when = absl::FromUnixNanos(
      static_cast<int64_t>(std::min<uint64_t>(event.monotonic_ns(), INT64_MAX)));
  switch (event.kind()) {
    case VmEvent::KIND_MACHINE_READY:
      return Mark(unproven_snapshot_ ? "machine_restored" : "machine_ready", when);
    case VmEvent::KIND_AGENT_STARTED:
      unproven_snapshot_.reset();
      return Mark("agent_started", when);
    case VmEvent::KIND_ROOT_MOUNTED:
      return Mark("root_mounted", when);
    case VmEvent::KIND_AGENT_READY:
      return MeetAgent();
    default:
      return;
  }
}

void Sandbox::ConnectAgent() {
  const auto& agent = context_.config.agent;
  EventLoop& io_loop = *context_.io_loops[record_.slot % context_.io_loops.size()];
  run_->agent = AgentClient::Create(
      io_loop, {.vsock_socket = plan_.vsock_socket,
                .connect_timeout = agent.connect_timeout,
                .request_timeout = agent.request_timeout,
                .warm_connections = agent.warm_connections,
                .window_bytes = size_t{context_.config.limits.stream_window_kib} * 1024});
  run_->agent->Warm();
}

void Sandbox::MeetAgent() {
  if (run_->agent) return;  // said twice
  ConnectAgent();
  // A machine that went on from a snapshot was told the time as it did: a round trip less.
  if (run_->restored) return OnClockSet(absl::OkStatus());
  msb::agent::v1::ControlRequest request;
  request.set_set_clock_ns(0);  // filled in as it is sent
  run_->agent->Request(std::move(request),
                       OnLoop<AgentResponse>([](Sandbox& self, const AgentResponse& response) {
                         self.OnClockSet(response.status());
                       }));
}

void Sandbox::OnClockSet(absl::Status status) {
  if (!status.ok() || !UsesSecrets(record_.spec)) return OnTrusted(std::move(status));
  TrustSecretsThen(
      [self = shared_from_this()](const absl::Status& trusted) { self->OnTrusted(trusted); });
}

void Sandbox::OnTrusted(absl::Status status) {
  if (!status.ok() || record_.spec.mounts().empty()) return OnAgentAnswered(std::move(status));
  if (state() != msb::v1::SANDBOX_STATE_STARTING) return;
  msb::agent::v1::ControlRequest request;
  *request.mutable_mount_all() = MountRequestOf(record_.spec);
  run_->agent->Request(std::move(request),
                       OnLoop<AgentResponse>([](Sandbox& self, const AgentResponse& response) {
                         self.OnAgentAnswered(response.status());
                       }));
}

void Sandbox::OnAgentAnswered(absl::Status status) {
  if (state() != msb::v1::SANDBOX_STATE_STARTING) return;
  if (!status.ok()) return FailStart(std::move(status));
  start_timer_.Cancel();
  Mark("ready", MonotonicNow());
  record_.started_at = absl::Now();
  running_execs_.clear();
  opening_execs_.clear();
  file_operations_ = 0;
  SetState(msb::v1::SANDBOX_STATE_RUNNING);
  ArmTimers();
  if (missed_snapshot_)
    context_.snapshots.MakeLater(*std::exchange(missed_snapshot_, std::nullopt));
  Answer(start_waiters_, absl::OkStatus());
}

void Sandbox::FailStart(absl::Status error) {
  if (!verdict_) {
    verdict_ = EndVerdict{
        .failed = true,
        .reason = ReasonOf(error) == Reason::kUnspecified ? Reason::kHostError : ReasonOf(error),
        .detail = std::string(error.message())};
    start_error_ = std::move(error);
  }
  EndRun();
}

// --- after a restart of the daemon ---

void Sandbox::Recover() {
  if (record_.removing || state() == msb::v1::SANDBOX_STATE_CREATING) {
    MSB_LOG(kWarning) << "sandbox " << record_.id << " was half "
                      << (record_.removing ? "removed" : "made") << "; deleting what there is";
    record_.state = msb::v1::SANDBOX_STATE_STOPPED;
    return Remove([](const absl::Status&) {});
  }
  if (!IsAtRest(state())) return Adopt();
  if (!record_.has_vmm) return;
  MSB_LOG(kWarning) << "sandbox " << record_.id << " left parts of a VMM behind";
  record_.has_vmm = !ClearUpVmm(context_.launcher, plan_).clean_up.ok();
  if (const absl::Status status = Journal(); !status.ok()) {
    MSB_LOG(kError) << "sandbox " << record_.id << ": " << status.message();
  }
}

void Sandbox::Adopt() {
  start_request_ = MonotonicNow();
  if (state() == msb::v1::SANDBOX_STATE_STOPPING) {
    verdict_ = EndVerdict{.reason = record_.reason, .detail = record_.reason_detail};
  }
  if (record_.pid == 0) {
    return FailStart(MakeError(Reason::kSandboxStartFailed,
                               "the daemon ended while the sandbox was being started"));
  }
  absl::StatusOr<LaunchedVmm> vmm = context_.launcher.Adopt(
      {.pid = record_.pid, .start_time_ticks = record_.start_time_ticks}, plan_);
  if (!vmm.ok()) {
    MSB_LOG(kWarning) << "sandbox " << record_.id
                      << " ended while no daemon ran: " << vmm.status().message();
    return EndRun();
  }
  absl::StatusOr<ImageConfig> image =
      context_.images.ConfigOf(record_.spec.image(), record_.spec.image_digest());
  if (!image.ok()) {
    // The guest has its disk open and runs on; its commands lack the image's variables.
    MSB_LOG(kWarning) << "sandbox " << record_.id << ": " << image.status().message();
    image = ImageConfig();
  }
  run_.emplace(Run{.vmm = *std::move(vmm), .image = *std::move(image)});
  if (absl::Status status = ServeVmm(); !status.ok()) return FailStart(std::move(status));
  AdoptCompanions();
  MSB_LOG(kInfo) << "sandbox " << record_.id << " (" << record_.spec.name() << ") is "
                 << StateName(state()) << ", pid " << record_.pid << ": adopted";
  if (state() == msb::v1::SANDBOX_STATE_STARTING) {
    record_.start_stages.clear();
    start_timer_.Set(context_.config.sandbox.start_timeout, [this] {
      FailStart(MakeError(Reason::kSandboxStartTimeout, "the agent was not ready in time"));
    });
    return;  // the events so far come again
  }
  ConnectAgent();
  if (state() == msb::v1::SANDBOX_STATE_STOPPING) {
    return ShutDownGuest(context_.config.sandbox.stop_grace, OnRefusal::kWait);
  }
  // Whether it was paused is journalled behind the fact: ask.
  run_->control->Status([weak = weak_from_this()](VmmResponse response) {
    if (const auto self = weak.lock()) self->OnAdoptedStatus(std::move(response));
  });
  CountExecs([](const absl::Status&) {});
  ArmTimers();
}

void Sandbox::OnAdoptedStatus(VmmResponse response) {
  const auto from = state();
  if (!response.ok() ||
      (from != msb::v1::SANDBOX_STATE_RUNNING && from != msb::v1::SANDBOX_STATE_PAUSED)) {
    return;
  }
  const auto now = response->status().state() == msb::vmm::v1::VM_STATE_PAUSED
                       ? msb::v1::SANDBOX_STATE_PAUSED
                       : msb::v1::SANDBOX_STATE_RUNNING;
  if (now == from) return;
  SetState(now);
  ArmTimers();
}

}  // namespace msb
