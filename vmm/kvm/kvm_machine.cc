// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/kvm_machine.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/linux_boot.h"
#include "vmm/kvm/boot_registers.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/memory/memory_image.h"

namespace msb {

namespace {

constexpr size_t kMaxStateBytes = 1 << 20;  // 8 KiB a vCPU
// A regular file: it is read at once or not at all.
constexpr absl::Duration kStateTimeout = absl::Seconds(10);

absl::Status WriteState(int file, const KvmMachineState& state) {
  std::string frame;
  AppendFrame(EncodeMachineState(state), frame);
  MSB_ASSIGN_OR_RETURN(const ssize_t written, Syscall("write the machine's state", [&] {
                         return ::pwrite(file, frame.data(), frame.size(), 0);
                       }));
  if (static_cast<size_t>(written) == frame.size()) return absl::OkStatus();
  return MakeError(Reason::kHostError, "no room for the machine's state");
}

absl::StatusOr<KvmMachineState> ReadState(int file, uint32_t vcpus) {
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> frame,
                       ReadFrame(file, absl::Now() + kStateTimeout, kMaxStateBytes));
  MSB_ASSIGN_OR_RETURN(KvmMachineState state, DecodeMachineState(frame.value_or("")));
  if (state.vcpus.size() == vcpus) return state;
  return MakeError(Reason::kStateInvalid,
                   absl::StrCat("the state of ", state.vcpus.size(), " vCPUs, for ", vcpus));
}

}  // namespace

KvmMachine::KvmMachine(EventLoop& loop, MachineObserver& observer, KvmMachineConfig config)
    : loop_(loop), observer_(observer), config_(std::move(config)) {}

absl::Status KvmMachine::Start() {
  MSB_CHECK(!memory_.has_value());
  MSB_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Create(std::move(config_.kvm)));
  kvm_.emplace(std::move(kvm));
  MSB_RETURN_IF_ERROR(CreateMemory());
  MSB_RETURN_IF_ERROR(LoadGuest());
  MSB_RETURN_IF_ERROR(CreateVm());
  MSB_RETURN_IF_ERROR(CreateVcpus());
  if (saved_.has_value()) MSB_RETURN_IF_ERROR(RestoreState());
  return StartThreads();
}

std::vector<MmioWindow> KvmMachine::Windows() const {
  std::vector<MmioWindow> windows;
  const size_t places = HasEmptyPlaces() ? kMaxDevices : config_.devices.size();
  for (size_t i = 0; i < places; ++i) {
    const uint64_t start = address_map::kVirtioMmioStart + i * address_map::kVirtioMmioBytes;
    windows.push_back(
        {{GuestAddress{start}, address_map::kVirtioMmioBytes}, address_map::kVirtioInterrupts[i]});
  }
  return windows;
}

absl::StatusOr<GuestMemory> KvmMachine::MakeMemory() {
  const std::vector<GuestRange> ranges = address_map::RamRanges(config_.memory_mib);
  if (!config_.shares_memory) {
    if (!config_.restore.has_value()) return GuestMemory::Allocate(ranges);
    return MapMemoryImage(std::move(config_.restore->memory), ranges);
  }
  MSB_ASSIGN_OR_RETURN(UniqueFd file, MakeMemoryFile(uint64_t{config_.memory_mib} << 20));
  if (config_.restore.has_value()) {
    MSB_RETURN_IF_ERROR(ReadMemoryImage(config_.restore->memory.get(), file.get()));
    config_.restore->memory.Reset();
  }
  return GuestMemory::MapShared(std::move(file), ranges);
}

absl::Status KvmMachine::CreateMemory() {
  MSB_ASSIGN_OR_RETURN(GuestMemory memory, MakeMemory());
  memory_.emplace(std::move(memory));
  if (!config_.balloon.has_value()) return absl::OkStatus();
  balloon_ = std::make_unique<BalloonDevice>(loop_, *memory_, config_.balloon->options);
  config_.devices.push_back(balloon_.get());
  return balloon_->SetTargetMib(config_.balloon->size_mib);
}

absl::Status KvmMachine::LoadGuest() {
  if (config_.devices.size() > kMaxDevices) {
    return MakeError(Reason::kVmSpecInvalid,
                     absl::StrCat(config_.devices.size(), " virtio devices, the machine has ",
                                  kMaxDevices, " interrupt lines for them"));
  }
  if (config_.restore.has_value()) {
    MSB_ASSIGN_OR_RETURN(saved_, ReadState(config_.restore->state.get(), config_.vcpus));
    config_.restore->state.Reset();
    return absl::OkStatus();
  }
  MSB_ASSIGN_OR_RETURN(std::string command_line,
                       BuildCommandLine({.emulated_ring0 = config_.emulated_ring0,
                                         .virtio_devices = Windows(),
                                         .extra = config_.command_line}));
  MSB_ASSIGN_OR_RETURN(entry_, LoadLinux(*memory_, {.kernel = config_.kernel.get(),
                                                    .initramfs = config_.initramfs.get(),
                                                    .command_line = std::move(command_line),
                                                    .vcpus = config_.vcpus,
                                                    .placement = config_.placement}));
  config_.kernel.Reset();
  config_.initramfs.Reset();
  return absl::OkStatus();
}

absl::Status KvmMachine::CreateVm() {
  MSB_ASSIGN_OR_RETURN(Vm vm, kvm_->CreateVm());
  vm_.emplace(std::move(vm));
  MSB_RETURN_IF_ERROR(vm_->SetMemory(*memory_));
  return PlugDevices();
}

// What registers on KVM's buses comes before the interrupt controllers, what uses their lines
// behind.
absl::Status KvmMachine::PlugDevices() {
  const std::vector<MmioWindow> windows = Windows();
  for (size_t i = 0; i < config_.devices.size(); ++i) {
    MSB_ASSIGN_OR_RETURN(std::unique_ptr<MmioTransport> transport,
                         MmioTransport::Create(loop_, *memory_, *config_.devices[i]));
    const uint64_t start = ToUint64(windows[i].range.start);
    mmio_.Add(start, windows[i].range.size, *transport);
    for (size_t queue = 0; queue < transport->queue_count(); ++queue) {
      MSB_RETURN_IF_ERROR(vm_->SignalOnWrite({.event = transport->notify_fd(queue),
                                              .address = start + MmioTransport::kNotifyOffset,
                                              .bytes = sizeof(uint32_t),
                                              .value = queue}));
    }
    transports_.push_back(std::move(transport));
  }
  for (size_t i = config_.devices.size(); i < windows.size(); ++i) {
    mmio_.Add(ToUint64(windows[i].range.start), windows[i].range.size, empty_place_);
  }
  MSB_ASSIGN_OR_RETURN(
      board_, LegacyBoard::Create(
                  loop_, ports_,
                  {.console = config_.console, .boot_mark = config_.boot_mark, .reset = [this] {
                     EndSoon(MakeError(Reason::kGuestReset,
                                       "the guest has reset the machine by its keyboard "
                                       "controller; see the console log"));
                   }}));
  MSB_RETURN_IF_ERROR(vm_->CreateInterruptControllers());
  MSB_RETURN_IF_ERROR(
      vm_->RaiseByEvent(board_->serial_interrupt_fd(), address_map::kSerialInterrupt));
  for (size_t i = 0; i < transports_.size(); ++i) {
    MSB_RETURN_IF_ERROR(vm_->RaiseByEvent(transports_[i]->irq_fd(), windows[i].interrupt));
  }
  return absl::OkStatus();
}

absl::Status KvmMachine::CreateVcpus() {
  MSB_ASSIGN_OR_RETURN(const kvm::CpuidTable supported, kvm_->SupportedCpuid());
  VcpuThread::Observer& observer = *this;
  for (uint32_t id = 0; id < config_.vcpus; ++id) {
    MSB_ASSIGN_OR_RETURN(Vcpu vcpu, vm_->CreateVcpu(id));
    // All of them exist before the state of any is restored.
    if (!saved_.has_value()) MSB_RETURN_IF_ERROR(SetUpVcpu(vcpu, supported));
    threads_.push_back(std::make_unique<VcpuThread>(
        std::move(vcpu), VcpuSurroundings{&ports_, &mmio_, &*memory_, config_.seccomp}, observer));
  }
  return absl::OkStatus();
}

absl::Status KvmMachine::SetUpVcpu(Vcpu& vcpu, const kvm::CpuidTable& supported) const {
  const CpuidOptions options{
      .vcpus = config_.vcpus,
      .tsc_deadline_timer = kvm_->HasExtension(KVM_CAP_TSC_DEADLINE_TIMER),
      .emulated_ring0 = config_.emulated_ring0,
  };
  MSB_RETURN_IF_ERROR(vcpu.SetCpuid(GuestCpuid(supported, vcpu.id(), options)));
  MSB_RETURN_IF_ERROR(SetFirmwareState(vcpu));
  return vcpu.id() == 0 ? SetBootRegisters(vcpu, entry_) : absl::OkStatus();
}

absl::Status KvmMachine::RestoreState() {
  for (size_t i = 0; i < threads_.size(); ++i) {
    MSB_RETURN_IF_ERROR(RestoreVcpu(threads_[i]->vcpu(), saved_->vcpus[i]));
  }
  MSB_RETURN_IF_ERROR(RestoreVm(*vm_, saved_->vm));
  MSB_RETURN_IF_ERROR(board_->serial().Restore(saved_->serial));
  saved_.reset();
  return absl::OkStatus();
}

absl::Status KvmMachine::StartThreads() {
  for (const auto& thread : threads_) MSB_RETURN_IF_ERROR(thread->Start());
  observer_.OnMachineReady();
  for (const auto& thread : threads_) thread->Unpark();
  return absl::OkStatus();
}

void KvmMachine::Pause(Done done) {
  transitions_.push_back({Transition::Kind::kPause, std::move(done)});
  BeginNextTransition();
}

void KvmMachine::Resume(Done done) {
  transitions_.push_back({Transition::Kind::kResume, std::move(done)});
  BeginNextTransition();
}

void KvmMachine::SaveBootSnapshot(Done done) {
  if (!config_.save.has_value()) {
    return done(MakeError(Reason::kInternalBug, "the machine was not made to be saved"));
  }
  Pause([this, done = std::move(done)](const absl::Status& paused) {
    done(paused.ok() ? WriteSnapshot() : paused);
  });
}

absl::StatusOr<KvmMachineState> KvmMachine::State() {
  MSB_ASSIGN_OR_RETURN(const std::vector<uint32_t> supported, kvm_->SupportedMsrs());
  const std::vector<uint32_t> msrs = MsrsToSave(supported);
  KvmMachineState state;
  for (const auto& thread : threads_) {
    MSB_ASSIGN_OR_RETURN(VcpuState vcpu, SaveVcpu(thread->vcpu(), msrs));
    state.vcpus.push_back(std::move(vcpu));
  }
  MSB_ASSIGN_OR_RETURN(state.vm, SaveVm(*vm_));
  state.serial = board_->serial().Save();
  return state;
}

absl::Status KvmMachine::WriteSnapshot() {
  MSB_ASSIGN_OR_RETURN(const KvmMachineState state, State());
  MSB_RETURN_IF_ERROR(WriteState(config_.save->state.get(), state));
  return WriteMemoryImage(*memory_, config_.save->memory.get());
}

void KvmMachine::BeginNextTransition() {
  while (!in_transition_ && !transitions_.empty()) {
    in_transition_ = true;
    const bool pause = transitions_.front().kind == Transition::Kind::kPause;
    if (pause && !paused_ && !stopped_) {
      parked_ = 0;
      for (const auto& thread : threads_) thread->RequestPark();
      return;  // CountParked goes on
    }
    if (!pause && paused_ && !stopped_) Unpark();
    paused_ = pause;
    FinishTransition();
  }
}

void KvmMachine::Unpark() {
  for (const auto& thread : threads_) {
    // Keeps the guest's watchdogs from taking the pause for a hang. Refused where the guest has no
    // KVM clock, and then there is nothing to tell.
    (void)thread->vcpu().Control("KVM_KVMCLOCK_CTRL", KVM_KVMCLOCK_CTRL, nullptr);
    thread->Unpark();
  }
}

// A `done` may ask for the next transition.
void KvmMachine::FinishTransition() {
  const Done done = std::move(transitions_.front().done);
  transitions_.pop_front();
  in_transition_ = false;
  done(stopped_ ? MakeError(Reason::kSandboxStopped, "the machine has ended") : absl::OkStatus());
}

void KvmMachine::OnParked(uint32_t) {
  loop_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) CountParked();
  });
}

void KvmMachine::CountParked() {
  if (stopped_ || ++parked_ < threads_.size()) return;
  paused_ = true;
  FinishTransition();
  BeginNextTransition();
}

void KvmMachine::OnEnded(uint32_t, absl::Status why) {
  loop_.Post([this, alive = std::weak_ptr<bool>(alive_), why = std::move(why)] {
    if (!alive.expired()) EndSoon(why);
  });
}

// What the guest did before its end, the mark that announces it above all, may be waiting in the
// same turn of the loop behind this call. One turn later it has been served.
void KvmMachine::EndSoon(absl::Status why) {
  loop_.Post([this, alive = std::weak_ptr<bool>(alive_), why = std::move(why)] {
    if (!alive.expired()) End(why);
  });
}

void KvmMachine::End(absl::Status why) {
  if (stopped_) return;
  Stop();
  observer_.OnEnded(Interpret(std::move(why)));
}

absl::Status KvmMachine::Interpret(absl::Status why) const {
  const Reason reason = ReasonOf(why);
  if (reason != Reason::kTripleFault && reason != Reason::kGuestReset) return why;
  if (config_.shutdown_announced != nullptr && config_.shutdown_announced()) {
    return MakeError(Reason::kGuestShutdown, "the guest has shut down");
  }
  if (reason == Reason::kGuestReset) return why;
  return MakeError(Reason::kGuestReset, absl::StrCat("the guest has reset the machine or crashed (",
                                                     why.message(), "); see the console log"));
}

// First whoever waits for this thread is let go, then the vCPUs are stopped.
void KvmMachine::Stop() {
  if (stopped_) return;
  stopped_ = true;
  for (const auto& transport : transports_) transport->Close();
  if (board_ != nullptr) board_->Close();
  for (const auto& thread : threads_) thread->Stop();
  if (board_ != nullptr) board_->Flush();  // the last words of the guest
  in_transition_ = false;
  for (std::deque<Transition> rest = std::move(transitions_); Transition & transition : rest) {
    transition.done(MakeError(Reason::kSandboxStopped, "the machine has ended"));
  }
  transitions_.clear();
}

absl::Status KvmMachine::SetBalloon(uint32_t mib) {
  if (balloon_ == nullptr) {
    return MakeError(Reason::kUnsupportedByEngine, "the machine has no balloon");
  }
  return balloon_->SetTargetMib(mib);
}

msb::vmm::v1::Stats KvmMachine::stats() const {
  msb::vmm::v1::Stats stats;
  uint64_t exits = 0;
  for (const auto& thread : threads_) exits += thread->exits();
  stats.set_vcpu_exits(exits);
  if (balloon_ != nullptr) stats.set_balloon_mib(balloon_->actual_bytes() / address_map::kMebibyte);
  return stats;
}

}  // namespace msb
