// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/vmm.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "vmm/machine/engine.h"
#include "vmm/machine/exit_event.h"

namespace msb {
namespace {

using msb::agent::v1::BootMark;
using msb::vmm::v1::VmEvent;

VmEvent::Kind KindOf(BootMark::Stage stage) {
  switch (stage) {
    case BootMark::STAGE_AGENT_STARTED:
      return VmEvent::KIND_AGENT_STARTED;
    case BootMark::STAGE_ROOT_MOUNTED:
      return VmEvent::KIND_ROOT_MOUNTED;
    case BootMark::STAGE_AGENT_READY:
      return VmEvent::KIND_AGENT_READY;
    case BootMark::STAGE_SHUTTING_DOWN:
      return VmEvent::KIND_SHUTTING_DOWN;
    default:
      return VmEvent::KIND_UNSPECIFIED;
  }
}

// An agent's first marks come together, once it can connect; its own clock tells them apart.
std::string GuestTime(const BootMark& mark) {
  if (mark.guest_boottime_ns() == 0) return "";
  return absl::StrCat("guest's clock ", mark.guest_boottime_ns() / 1'000'000, " ms");
}

absl::string_view LastStage(const EventJournal& journal) {
  if (journal.Has(VmEvent::KIND_ROOT_MOUNTED)) return "the agent had mounted its root";
  if (journal.Has(VmEvent::KIND_AGENT_STARTED)) return "the agent had started";
  return "the agent had not started";
}

}  // namespace

Vmm::Vmm(EventLoop& loop, msb::vmm::v1::VmSpec spec, uint64_t started_ns, Seccomp seccomp)
    : loop_(loop),
      spec_(std::move(spec)),
      started_ns_(started_ns),
      seccomp_(seccomp),
      descriptors_(spec_) {
  exit_event_ = std::move(descriptors_.exit_event);
  journal_.Record(VmEvent::KIND_PROCESS_STARTED, started_ns_);
}

Vmm::~Vmm() {
  if (boot_timer_.has_value()) loop_.Cancel(*boot_timer_);
}

absl::Status Vmm::Run() {
  absl::Status built = Build();
  if (!built.ok()) {
    End(std::move(built));
  } else {
    StartBootTimer();
    const absl::Status served = loop_.Run();
    if (!served.ok()) End(WithReason(Reason::kHostError, "event loop", served));
  }
  if (!end_.has_value()) End(MakeError(Reason::kInternalBug, "the event loop ended by itself"));
  Conclude();
  return *end_;
}

absl::Status Vmm::Build() {
  if (seccomp_ == Seccomp::kInForce) MSB_RETURN_IF_ERROR(CheckSeccomp());
  MSB_ASSIGN_OR_RETURN(
      control_, ControlServer::Create(loop_, std::move(descriptors_.control), *this, journal_));
  MSB_RETURN_IF_ERROR(BuildConsole());
  MSB_ASSIGN_OR_RETURN(devices_, DeviceSet::Create(loop_, spec_, descriptors_, *this, seccomp_));
  EngineParts parts;
  parts.kernel = std::move(descriptors_.kernel);
  parts.initramfs = std::move(descriptors_.initramfs);
  parts.kvm = std::move(descriptors_.kvm);
  parts.save = std::move(descriptors_.save);
  parts.restore = std::move(descriptors_.restore);
  parts.devices = devices_.get();
  parts.seccomp = seccomp_;
  parts.console = [this](absl::string_view bytes) { OnConsole(bytes); };
  parts.boot_mark = [this](uint8_t stage) {
    BootMark mark;
    if (BootMark::Stage_IsValid(stage)) mark.set_stage(static_cast<BootMark::Stage>(stage));
    OnBootMark(mark);
  };
  parts.shutdown_announced = [this] { return journal_.Has(VmEvent::KIND_SHUTTING_DOWN); };
  machine_ = MakeMachine(loop_, *this, spec_, std::move(parts));
  MSB_RETURN_IF_ERROR(machine_->Start());
  return ConfineLoop();
}

// Behind the start, which makes threads and QEMU, and before the first event: no thread without a
// filter looks at anything that the guest has said.
absl::Status Vmm::ConfineLoop() const {
  if (seccomp_ == Seccomp::kOffForDebugging) {
    MSB_LOG(kWarning) << "seccomp is off: a guest that takes over this process has one wall less";
    return absl::OkStatus();
  }
  const bool qemu = spec_.engine() == msb::vmm::v1::ENGINE_QEMU;
  if (spec_.has_save()) {
    return ConfineThread(qemu ? SeccompPolicy::kQemuSave : SeccompPolicy::kKvmSave);
  }
  return ConfineThread(qemu ? SeccompPolicy::kQemuLoop : SeccompPolicy::kKvmLoop);
}

absl::Status Vmm::BuildConsole() {
  if (!descriptors_.console.valid()) return absl::OkStatus();
  const uint64_t limit = spec_.console().limit_bytes();
  MSB_ASSIGN_OR_RETURN(ConsoleLog log,
                       ConsoleLog::Create(std::move(descriptors_.console),
                                          limit == 0 ? ConsoleLog::kDefaultLimitBytes : limit));
  console_.emplace(std::move(log));
  return absl::OkStatus();
}

void Vmm::StartBootTimer() {
  if (spec_.boot_timeout_ms() == 0 || end_.has_value()) return;
  const uint64_t elapsed_ns = EventJournal::NowNanoseconds() - started_ns_;
  const absl::Duration left = absl::Milliseconds(spec_.boot_timeout_ms()) -
                              absl::Nanoseconds(static_cast<int64_t>(elapsed_ns));
  boot_timer_ = loop_.After(left, [this] {
    boot_timer_.reset();
    OnBootTimeout();
  });
}

void Vmm::OnBootTimeout() {
  if (journal_.Has(VmEvent::KIND_AGENT_READY)) return;
  End(MakeError(Reason::kSandboxStartTimeout,
                absl::StrCat("the guest was not ready after ", spec_.boot_timeout_ms(),
                             " ms: ", LastStage(journal_), "; see the console log")));
}

void Vmm::OnMachineReady() { journal_.Record(VmEvent::KIND_MACHINE_READY); }

// Hostile: a stage counts once, and only what the agent says in words goes further than its number.
void Vmm::OnBootMark(const BootMark& mark) {
  if (end_.has_value()) return;
  if (mark.stage() == BootMark::STAGE_FAILED) {
    return End(MakeError(Reason::kSandboxStartFailed,
                         absl::StrCat("the agent cannot go on: ", mark.detail())));
  }
  RecordStage(mark);
}

void Vmm::RecordStage(const BootMark& mark) {
  const VmEvent::Kind kind = KindOf(mark.stage());
  if (kind == VmEvent::KIND_UNSPECIFIED || journal_.Has(kind)) return;
  const uint64_t now = EventJournal::NowNanoseconds();
  const std::string guest_time = GuestTime(mark);
  MSB_LOG(kInfo) << VmEvent::Kind_Name(kind) << " after " << (now - started_ns_) / 1'000'000
                 << " ms" << (guest_time.empty() ? "" : ", ") << guest_time;
  journal_.Record(kind, now, Reason::kUnspecified, guest_time);
  if (kind != VmEvent::KIND_AGENT_READY || !boot_timer_.has_value()) return;
  loop_.Cancel(*boot_timer_);
  boot_timer_.reset();
}

void Vmm::SaveIfAgentWaits(absl::string_view console) {
  if (!spec_.has_save() || end_.has_value() || !waiting_agent_.Sees(console)) return;
  machine_->SaveBootSnapshot([this](const absl::Status& saved) {
    if (!saved.ok()) return End(WithReason(Reason::kHostError, "save the boot snapshot", saved));
    End(MakeError(Reason::kStoppedByRequest, "the boot snapshot is saved"));
  });
}

void Vmm::OnConsole(absl::string_view bytes) {
  SaveIfAgentWaits(bytes);
  if (!console_.has_value()) return;
  const absl::Status written = console_->Append(bytes);
  if (written.ok() || std::exchange(console_failed_, true)) return;
  MSB_LOG(kWarning) << "console output is lost: " << written.message();
}

msb::vmm::v1::Status Vmm::status() const {
  msb::vmm::v1::Status status;
  if (end_.has_value()) {
    status.set_state(msb::vmm::v1::VM_STATE_ENDED);
  } else if (paused_) {
    status.set_state(msb::vmm::v1::VM_STATE_PAUSED);
  } else {
    status.set_state(journal_.Has(VmEvent::KIND_AGENT_READY) ? msb::vmm::v1::VM_STATE_RUNNING
                                                             : msb::vmm::v1::VM_STATE_BOOTING);
  }
  status.set_engine(spec_.engine() == msb::vmm::v1::ENGINE_KVM ? "kvm" : "qemu");
  const absl::string_view version = Version();
  status.set_version(version.data(), version.size());
  status.set_vcpus(spec_.vcpus());
  status.set_memory_mib(spec_.memory_mib());
  for (const VmEvent& event : journal_.events()) *status.add_events() = event;
  return status;
}

msb::vmm::v1::Stats Vmm::stats() const {
  msb::vmm::v1::Stats stats;
  if (machine_ != nullptr) stats = machine_->stats();
  if (devices_ != nullptr) devices_->FillStats(stats);
  if (console_.has_value()) stats.set_console_bytes(console_->total_bytes());
  return stats;
}

void Vmm::Pause(Done done) {
  machine_->Pause([this, done = std::move(done)](const absl::Status& status) {
    if (status.ok() && !std::exchange(paused_, true)) journal_.Record(VmEvent::KIND_PAUSED);
    done(status);
  });
}

void Vmm::Resume(Done done) {
  machine_->Resume([this, done = std::move(done)](const absl::Status& status) {
    if (status.ok() && std::exchange(paused_, false)) journal_.Record(VmEvent::KIND_RESUMED);
    done(status);
  });
}

absl::Status Vmm::SetBalloon(uint32_t mib) {
  if (mib >= spec_.memory_mib()) {
    return MakeError(
        Reason::kInvalidArgument,
        absl::StrCat("set_balloon_mib: ", mib, " is not in 0..", spec_.memory_mib() - 1));
  }
  return machine_->SetBalloon(mib);
}

void Vmm::RequestStop() { End(MakeError(Reason::kStoppedByRequest, "stopped by request")); }

void Vmm::End(absl::Status why) {
  if (end_.has_value()) return;
  end_ = std::move(why);
  loop_.Stop();
}

// Outside of every handler: the machine is not destroyed within a call of its own.
void Vmm::Conclude() {
  if (machine_ != nullptr) machine_->Stop();
  const Reason reason = ReasonOf(*end_);
  const VmEvent& event =
      journal_.Record(VmEvent::KIND_ENDED, EventJournal::NowNanoseconds(), reason, end_->message());
  WriteExitEvent(exit_event_, event);
  MSB_LOG(kInfo) << "ended: " << ReasonName(reason) << ": " << EscapeForLog(end_->message());
}

}  // namespace msb
