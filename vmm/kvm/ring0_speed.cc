// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/ring0_speed.h"

#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/long_mode.h"
#include "vmm/kvm/boot_registers.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpu_thread.h"

namespace msb {
namespace {

constexpr uint64_t kMemoryBytes = 2 << 20;
constexpr GuestAddress kCode{address_map::kHighMemoryStart};
constexpr uint16_t kStartPort = 0x80;
constexpr uint8_t kLoop[] = {
    0xe6, kStartPort,  // outb %al, $kStartPort
    0xff, 0xc9,        // 1: decl %ecx
    0x75, 0xfc,        //    jnz 1b
    0xf4,              //    hlt, which leaves a VM without interrupt controllers
};

// So few say little; on a busy host the guest may not have had a processor yet.
constexpr uint32_t kFewIterations = 100;
constexpr int kMaxRounds = 20;

// Of the thread that asks: what others do on the host in the meantime does not count.
absl::Duration ThreadTime() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

// Notes on the vCPU's thread when the loop began and when it was left.
class Stopwatch final : public VcpuThread::Observer, public BusDevice {
 public:
  void Read(uint64_t, absl::Span<uint8_t>) override {}
  void Write(uint64_t, absl::Span<const uint8_t>) override { begin_ = ThreadTime(); }
  void OnParked(uint32_t) override { Leave(absl::OkStatus()); }
  void OnEnded(uint32_t, absl::Status why) override { Leave(std::move(why)); }

  // Whether the vCPU has left the loop since the last call.
  bool WaitForLeave(absl::Duration limit) {
    absl::MutexLock lock(&mutex_);
    const bool left = mutex_.AwaitWithTimeout(absl::Condition(&left_), limit);
    left_ = false;
    return left;
  }
  absl::Duration elapsed() const { return end_ - begin_; }
  // The HLT, or what KVM made of the loop; OK when the vCPU was parked.
  const absl::Status& why() const { return why_; }

 private:
  void Leave(absl::Status why) {
    absl::MutexLock lock(&mutex_);
    end_ = ThreadTime();
    why_ = std::move(why);
    left_ = true;
  }

  absl::Mutex mutex_;
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration begin_, end_;  // read after the wait that follows on their write
  absl::Status why_;
};

absl::StatusOr<Vcpu> PrepareLoop(Vm& vm, const Kvm& kvm, const GuestMemory& memory) {
  MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> code, memory.Bytes({kCode, sizeof(kLoop)}));
  std::memcpy(code.data(), kLoop, sizeof(kLoop));
  MSB_RETURN_IF_ERROR(WriteLongModeTables(memory));
  MSB_RETURN_IF_ERROR(vm.SetMemory(memory));
  MSB_ASSIGN_OR_RETURN(Vcpu vcpu, vm.CreateVcpu(0));
  MSB_ASSIGN_OR_RETURN(const kvm::CpuidTable cpuid, kvm.SupportedCpuid());
  MSB_RETURN_IF_ERROR(vcpu.SetCpuid(cpuid));
  MSB_RETURN_IF_ERROR(SetBootRegisters(vcpu, kCode));
  MSB_ASSIGN_OR_RETURN(kvm_regs registers, vcpu.GetRegisters());
  registers.rcx = kRing0LoopIterations;
  MSB_RETURN_IF_ERROR(vcpu.SetRegisters(registers));
  return vcpu;
}

absl::StatusOr<uint32_t> IterationsOf(const Vcpu& vcpu) {
  MSB_ASSIGN_OR_RETURN(const kvm_regs registers, vcpu.GetRegisters());
  return kRing0LoopIterations - static_cast<uint32_t>(registers.rcx);
}

// Lets the loop run for `limit`, and for more while it has hardly begun.
absl::StatusOr<uint32_t> RunLoop(VcpuThread& thread, Stopwatch& watch, absl::Duration limit) {
  for (int round = 0; round < kMaxRounds; ++round) {
    thread.Unpark();
    if (!watch.WaitForLeave(limit)) {
      thread.RequestPark();
      watch.WaitForLeave(absl::InfiniteDuration());
    }
    MSB_ASSIGN_OR_RETURN(const uint32_t iterations, IterationsOf(thread.vcpu()));
    if (!watch.why().ok() || iterations >= kFewIterations) return iterations;
  }
  return MakeError(Reason::kKvmUnavailable, "a guest's loop does not make progress");
}

std::string JsonText(absl::string_view text) {
  return absl::StrReplaceAll(EscapeForLog(text), {{"\\", "\\\\"}, {"\"", "\\\""}});
}

}  // namespace

absl::StatusOr<Ring0Speed> MeasureRing0Speed(UniqueFd kvm_device, absl::Duration limit) {
  MSB_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Create(std::move(kvm_device)));
  const std::vector<GuestRange> ranges = {{GuestAddress{0}, kMemoryBytes}};
  MSB_ASSIGN_OR_RETURN(const GuestMemory memory, GuestMemory::Allocate(ranges));
  MSB_ASSIGN_OR_RETURN(Vm vm, kvm.CreateVm());
  MSB_ASSIGN_OR_RETURN(Vcpu vcpu, PrepareLoop(vm, kvm, memory));
  Bus ports;
  const Bus mmio;
  Stopwatch watch;
  ports.Add(kStartPort, 1, watch);
  VcpuThread thread(std::move(vcpu), {&ports, &mmio, &memory}, watch);
  MSB_RETURN_IF_ERROR(thread.Start());
  const absl::StatusOr<uint32_t> iterations = RunLoop(thread, watch, limit);
  thread.Stop();
  if (ReasonOf(watch.why()) == Reason::kKvmInternalError) return watch.why();
  MSB_RETURN_IF_ERROR(iterations);
  if (*iterations == 0) return watch.why();
  return Ring0Speed{watch.elapsed() * (double{kRing0LoopIterations} / *iterations), *iterations};
}

std::string Ring0SpeedAsJson(const absl::StatusOr<Ring0Speed>& speed) {
  if (!speed.ok()) {
    return absl::StrFormat(R"({"kvm":"unusable","loop_ms":0,"detail":"%s"})",
                           JsonText(speed.status().message()));
  }
  const std::string detail = absl::StrFormat("%d of %d iterations of a ring 0 loop were run",
                                             speed->iterations, kRing0LoopIterations);
  return absl::StrFormat(R"({"kvm":"%s","loop_ms":%.3f,"detail":"%s"})",
                         speed->emulated() ? "emulated" : "hardware",
                         absl::ToDoubleMilliseconds(speed->loop), detail);
}

}  // namespace msb
