// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For tests: a VM of its own for a guest of a few instructions, and what that guest has done.

#ifndef MSB_TESTS_SUPPORT_VMM_TINY_VM_H_
#define MSB_TESTS_SUPPORT_VMM_TINY_VM_H_

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "jailer/policy/filter.h"
#include "tests/guests/tiny_guests.h"
#include "tests/support/matchers.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/long_mode.h"
#include "vmm/devices/legacy/boot_mark_port.h"
#include "vmm/kvm/boot_registers.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpu_thread.h"

namespace msb {

// What has happened, in order, for a test that waits for it.
class VcpuEvents final : public VcpuThread::Observer {
 public:
  void OnParked(uint32_t vcpu) override { Add(absl::StrCat("parked ", vcpu)); }
  void OnEnded(uint32_t vcpu, absl::Status why) override {
    {
      absl::MutexLock lock(&mutex_);
      why_ = std::move(why);
    }
    Add(absl::StrCat("ended ", vcpu));
  }
  void OnMark(uint8_t stage) { Add(absl::StrCat("mark ", stage)); }

  void WaitFor(const std::string& wanted) {
    const auto arrived = [this, &wanted]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return std::find(events_.begin(), events_.end(), wanted) != events_.end();
    };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&arrived));
    events_.erase(std::find(events_.begin(), events_.end(), wanted));
  }
  absl::Status why() {
    absl::MutexLock lock(&mutex_);
    return why_;
  }

 private:
  static constexpr size_t kMaxEvents = 1000;  // of a guest that marks for ever

  void Add(std::string event) {
    absl::MutexLock lock(&mutex_);
    if (events_.size() < kMaxEvents) events_.push_back(std::move(event));
  }

  absl::Mutex mutex_;
  std::deque<std::string> events_ ABSL_GUARDED_BY(mutex_);
  absl::Status why_ ABSL_GUARDED_BY(mutex_);
};

// 4 MiB, the guest at 1 MiB, the boot-mark port.
class TinyVm {
 public:
  enum class Controllers { kWith, kWithout };
  enum class Processors { kBoot, kBlank };  // blank: as KVM made them, for a restore

  static constexpr GuestRange kMemory{GuestAddress{0}, 4 << 20};

  // Skips or fails the test when it cannot; ok() tells.
  TinyVm(absl::string_view code, uint32_t vcpus, Controllers controllers = Controllers::kWith,
         Processors processors = Processors::kBoot) {
    PrepareLibraries();  // its vCPUs' threads confine themselves
    ports_.Add(address_map::kBootMarkPort, 1, marks_);
    Build(code, vcpus, controllers, processors);
  }

  bool ok() const { return ok_; }

  void Run() {
    for (const auto& thread : threads_) ASSERT_OK(thread->Start());
    for (const auto& thread : threads_) thread->Unpark();
  }
  void Park() {
    for (const auto& thread : threads_) thread->RequestPark();
    for (const auto& thread : threads_)
      events.WaitFor(absl::StrCat("parked ", thread->vcpu().id()));
  }

  uint64_t Counter() const { return *memory_->Load<uint64_t>(GuestAddress{kTinyGuestCounter}); }
  VcpuThread& thread(size_t index = 0) { return *threads_[index]; }
  const GuestMemory& memory() const { return *memory_; }
  const Kvm& kvm() const { return *kvm_; }
  Vm& vm() { return *vm_; }

  VcpuEvents events;

 private:
  void Build(absl::string_view code, uint32_t vcpus, Controllers controllers,
             Processors processors) {
    UniqueFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!device.valid()) GTEST_SKIP() << "no /dev/kvm";
    ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Create(std::move(device)));
    kvm_ = std::make_unique<Kvm>(std::move(kvm));
    const std::vector<GuestRange> ranges = {kMemory};
    ASSERT_OK_AND_ASSIGN(GuestMemory memory, GuestMemory::Allocate(ranges));
    memory_ = std::make_unique<GuestMemory>(std::move(memory));
    ASSERT_OK_AND_ASSIGN(const auto target,
                         memory_->Bytes({GuestAddress{kTinyKernelAddress}, code.size()}));
    std::memcpy(target.data(), code.data(), code.size());
    ASSERT_OK(WriteLongModeTables(*memory_));
    ASSERT_OK_AND_ASSIGN(Vm vm, kvm_->CreateVm());
    vm_ = std::make_unique<Vm>(std::move(vm));
    ASSERT_OK(vm_->SetMemory(*memory_));
    if (controllers == Controllers::kWith) {
      ASSERT_OK(vm_->CreateInterruptControllers());
    }
    for (uint32_t id = 0; id < vcpus; ++id) AddVcpu(id, vcpus, processors);
    ok_ = threads_.size() == vcpus;
  }

  void AddVcpu(uint32_t id, uint32_t vcpus, Processors processors) {
    ASSERT_OK_AND_ASSIGN(Vcpu vcpu, vm_->CreateVcpu(id));
    if (processors == Processors::kBoot) {
      ASSERT_OK_AND_ASSIGN(const kvm::CpuidTable supported, kvm_->SupportedCpuid());
      ASSERT_OK(vcpu.SetCpuid(GuestCpuid(supported, id, {.vcpus = vcpus})));
      if (id == 0) {
        ASSERT_OK(SetBootRegisters(vcpu, GuestAddress{kTinyKernelAddress}));
      }
    }
    threads_.push_back(std::make_unique<VcpuThread>(
        std::move(vcpu), VcpuSurroundings{&ports_, &mmio_, memory_.get()}, events));
  }

  BootMarkPort marks_{[this](uint8_t stage) { events.OnMark(stage); }};
  Bus ports_, mmio_;
  std::unique_ptr<Kvm> kvm_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Vm> vm_;
  std::vector<std::unique_ptr<VcpuThread>> threads_;  // last: they stop first
  bool ok_ = false;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_TINY_VM_H_
