// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu_thread.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "tests/guests/tiny_guests.h"
#include "tests/support/matchers.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/long_mode.h"
#include "vmm/devices/legacy/boot_mark_port.h"
#include "vmm/kvm/boot_registers.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/kvm.h"

namespace msb {
namespace {

// What has happened, in order, for a test that waits for it.
class Events final : public VcpuThread::Observer {
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
  void Add(std::string event) {
    absl::MutexLock lock(&mutex_);
    if (events_.size() < 1000) events_.push_back(std::move(event));
  }

  absl::Mutex mutex_;
  std::deque<std::string> events_ ABSL_GUARDED_BY(mutex_);
  absl::Status why_ ABSL_GUARDED_BY(mutex_);
};

enum class Controllers { kWith, kWithout };

// A VM with 4 MiB and a tiny guest at 1 MiB.
class VcpuThreadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    UniqueFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!device.valid()) GTEST_SKIP() << "no /dev/kvm";
    ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Create(std::move(device)));
    kvm_ = std::make_unique<Kvm>(std::move(kvm));
    ports_.Add(address_map::kBootMarkPort, 1, marks_);
  }

  void Build(absl::string_view code, uint32_t vcpus = 1,
             Controllers controllers = Controllers::kWith) {
    const std::vector<GuestRange> ranges = {{GuestAddress{0}, 4 << 20}};
    ASSERT_OK_AND_ASSIGN(GuestMemory memory, GuestMemory::Allocate(ranges));
    memory_ = std::make_unique<GuestMemory>(std::move(memory));
    ASSERT_OK_AND_ASSIGN(const auto target, memory_->Bytes({GuestAddress{1 << 20}, code.size()}));
    std::memcpy(target.data(), code.data(), code.size());
    ASSERT_OK(WriteLongModeTables(*memory_));

    ASSERT_OK_AND_ASSIGN(Vm vm, kvm_->CreateVm());
    vm_ = std::make_unique<Vm>(std::move(vm));
    ASSERT_OK(vm_->SetMemory(*memory_));
    if (controllers == Controllers::kWith) {
      ASSERT_OK(vm_->CreateInterruptControllers());
    }
    ASSERT_OK_AND_ASSIGN(const kvm::CpuidTable supported, kvm_->SupportedCpuid());
    for (uint32_t id = 0; id < vcpus; ++id) {
      ASSERT_OK_AND_ASSIGN(Vcpu vcpu, vm_->CreateVcpu(id));
      ASSERT_OK(vcpu.SetCpuid(GuestCpuid(supported, id, {.vcpus = vcpus})));
      if (id == 0) {
        ASSERT_OK(SetBootRegisters(vcpu, GuestAddress{1 << 20}));
      }
      threads_.push_back(std::make_unique<VcpuThread>(
          std::move(vcpu), VcpuSurroundings{&ports_, &mmio_, memory_.get()}, events_));
    }
  }

  void Run() {
    for (const auto& thread : threads_) ASSERT_OK(thread->Start());
    for (const auto& thread : threads_) thread->Unpark();
  }

  uint64_t Counter() { return *memory_->Load<uint64_t>(GuestAddress{kTinyGuestCounter}); }

  Events events_;
  BootMarkPort marks_{[this](uint8_t stage) { events_.OnMark(stage); }};
  Bus ports_, mmio_;
  std::unique_ptr<Kvm> kvm_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Vm> vm_;
  std::vector<std::unique_ptr<VcpuThread>> threads_;
};

TEST_F(VcpuThreadTest, HandsPortWritesToTheBus) {
  Build(MSB_TINY_GUEST(marks));
  Run();

  events_.WaitFor("mark 1");
  events_.WaitFor("mark 2");
  events_.WaitFor("mark 3");
  EXPECT_GE(threads_[0]->exits(), 3u);
}

TEST_F(VcpuThreadTest, ATripleFaultEndsTheVcpu) {
  Build(MSB_TINY_GUEST(triple_fault));
  Run();

  events_.WaitFor("ended 0");
  EXPECT_THAT(events_.why(), HasReason(Reason::kTripleFault));
  EXPECT_THAT(events_.why().message(), ::testing::HasSubstr("rip=0x1000"));
}

TEST_F(VcpuThreadTest, AHaltWithoutInterruptControllerEndsTheVcpu) {
  Build(MSB_TINY_GUEST(halt), 1, Controllers::kWithout);
  Run();

  events_.WaitFor("ended 0");
  EXPECT_THAT(events_.why(), HasReason(Reason::kKvmError));
  EXPECT_THAT(events_.why().message(), ::testing::HasSubstr("HLT"));
}

TEST_F(VcpuThreadTest, ReadingWhereThereIsNoDeviceGivesOnes) {
  Build(MSB_TINY_GUEST(mmio_read));
  Run();

  events_.WaitFor("mark 3");
  EXPECT_EQ(Counter(), 0xffffffff);
}

TEST_F(VcpuThreadTest, AnInstructionThatKvmCannotEmulateIsNamed) {
  Build(MSB_TINY_GUEST(run_device));
  Run();

  events_.WaitFor("ended 0");
  EXPECT_THAT(events_.why(), HasReason(Reason::kKvmInternalError));
  EXPECT_THAT(events_.why().message(), ::testing::HasSubstr("suberror=1"));
  EXPECT_THAT(events_.why().message(), ::testing::HasSubstr("rip=0xd01ff000"));
}

TEST_F(VcpuThreadTest, ParksASpinningGuestAndLetsItGoOn) {
  Build(MSB_TINY_GUEST(counter));
  Run();
  events_.WaitFor("mark 3");

  for (int round = 0; round < 50; ++round) {
    threads_[0]->RequestPark();
    events_.WaitFor("parked 0");
    const uint64_t parked_at = Counter();
    ASSERT_OK(threads_[0]->vcpu().GetRegisters());
    for (int look = 0; look < 1000; ++look) ASSERT_EQ(Counter(), parked_at);
    threads_[0]->Unpark();
    while (Counter() == parked_at) ::sched_yield();
  }
}

// The request meets the vCPU in the guest, in KVM and in a handler: whichever way, it parks.
TEST_F(VcpuThreadTest, ParksAGuestThatAlwaysExits) {
  Build(MSB_TINY_GUEST(chatter));
  Run();
  events_.WaitFor("mark 3");

  for (int round = 0; round < 200; ++round) {
    threads_[0]->RequestPark();
    events_.WaitFor("parked 0");
    threads_[0]->Unpark();
  }
}

TEST_F(VcpuThreadTest, ParksAHaltedGuest) {
  Build(MSB_TINY_GUEST(marks));
  Run();
  events_.WaitFor("mark 3");

  threads_[0]->RequestPark();
  events_.WaitFor("parked 0");
}

TEST_F(VcpuThreadTest, ReportsARequestThatFollowsAtOnceOnAnUnpark) {
  Build(MSB_TINY_GUEST(spin));
  Run();

  for (int round = 0; round < 200; ++round) {
    threads_[0]->RequestPark();
    events_.WaitFor("parked 0");
    threads_[0]->Unpark();
    threads_[0]->RequestPark();
    events_.WaitFor("parked 0");
    threads_[0]->Unpark();
  }
}

TEST_F(VcpuThreadTest, StopsASpinningGuest) {
  Build(MSB_TINY_GUEST(spin));
  Run();
  threads_[0]->Stop();
}

TEST_F(VcpuThreadTest, StopsBeforeTheFirstInstructionAndWhileParked) {
  Build(MSB_TINY_GUEST(counter));
  ASSERT_OK(threads_[0]->Start());
  threads_[0]->Stop();
  EXPECT_EQ(Counter(), 0u);

  threads_.clear();
  Build(MSB_TINY_GUEST(counter));
  Run();
  events_.WaitFor("mark 3");
  threads_[0]->RequestPark();
  events_.WaitFor("parked 0");
  threads_[0]->Stop();
}

TEST_F(VcpuThreadTest, ASecondProcessorWaitsForItsStart) {
  Build(MSB_TINY_GUEST(start_second), 2);
  Run();

  events_.WaitFor("mark 1");
  events_.WaitFor("mark 2");
}

TEST_F(VcpuThreadTest, ParksAProcessorThatWasNeverStarted) {
  Build(MSB_TINY_GUEST(spin), 2);
  Run();

  threads_[1]->RequestPark();
  events_.WaitFor("parked 1");
  threads_[1]->Unpark();
}

}  // namespace
}  // namespace msb
