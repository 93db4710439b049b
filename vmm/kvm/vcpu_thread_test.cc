// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <memory>

#include "tests/support/vmm/tiny_vm.h"

namespace msb {
namespace {

using ::testing::HasSubstr;

class VcpuThreadTest : public ::testing::Test {
 protected:
  void Build(absl::string_view code, uint32_t vcpus = 1,
             TinyVm::Controllers controllers = TinyVm::Controllers::kWith) {
    vm_ = std::make_unique<TinyVm>(code, vcpus, controllers);
    if (IsSkipped()) GTEST_SKIP();
    ASSERT_TRUE(vm_->ok());
  }

  std::unique_ptr<TinyVm> vm_;
};

TEST_F(VcpuThreadTest, HandsPortWritesToTheBus) {
  Build(MSB_TINY_GUEST(marks));
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->events.WaitFor("mark 1");
  vm_->events.WaitFor("mark 2");
  vm_->events.WaitFor("mark 3");
  EXPECT_GE(vm_->thread().exits(), 3u);
}

TEST_F(VcpuThreadTest, ATripleFaultEndsTheVcpu) {
  Build(MSB_TINY_GUEST(triple_fault));
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->events.WaitFor("ended 0");
  EXPECT_THAT(vm_->events.why(), HasReason(Reason::kTripleFault));
  EXPECT_THAT(vm_->events.why().message(), HasSubstr("rip=0x1000"));
}

TEST_F(VcpuThreadTest, AHaltWithoutInterruptControllerEndsTheVcpu) {
  Build(MSB_TINY_GUEST(halt), 1, TinyVm::Controllers::kWithout);
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->events.WaitFor("ended 0");
  EXPECT_THAT(vm_->events.why(), HasReason(Reason::kKvmError));
  EXPECT_THAT(vm_->events.why().message(), HasSubstr("HLT"));
}

TEST_F(VcpuThreadTest, ReadingWhereThereIsNoDeviceGivesOnes) {
  Build(MSB_TINY_GUEST(mmio_read));
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->events.WaitFor("mark 3");
  EXPECT_EQ(vm_->Counter(), 0xffffffff);
}

TEST_F(VcpuThreadTest, AnInstructionThatKvmCannotEmulateIsNamed) {
  Build(MSB_TINY_GUEST(run_device));
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->events.WaitFor("ended 0");
  EXPECT_THAT(vm_->events.why(), HasReason(Reason::kKvmInternalError));
  EXPECT_THAT(vm_->events.why().message(), HasSubstr("suberror=1"));
  EXPECT_THAT(vm_->events.why().message(), HasSubstr("rip=0xd01ff000"));
}

TEST_F(VcpuThreadTest, ParksASpinningGuestAndLetsItGoOn) {
  Build(MSB_TINY_GUEST(counter));
  if (!vm_->ok()) return;
  vm_->Run();
  vm_->events.WaitFor("mark 3");

  for (int round = 0; round < 50; ++round) {
    vm_->thread().RequestPark();
    vm_->events.WaitFor("parked 0");
    const uint64_t parked_at = vm_->Counter();
    ASSERT_OK(vm_->thread().vcpu().GetRegisters());
    for (int look = 0; look < 1000; ++look) ASSERT_EQ(vm_->Counter(), parked_at);
    vm_->thread().Unpark();
    while (vm_->Counter() == parked_at) ::sched_yield();
  }
}

// The request meets the vCPU in the guest, in KVM and in a handler: whichever way, it parks.
TEST_F(VcpuThreadTest, ParksAGuestThatAlwaysExits) {
  Build(MSB_TINY_GUEST(chatter));
  if (!vm_->ok()) return;
  vm_->Run();
  vm_->events.WaitFor("mark 3");

  for (int round = 0; round < 200; ++round) {
    vm_->thread().RequestPark();
    vm_->events.WaitFor("parked 0");
    vm_->thread().Unpark();
  }
}

TEST_F(VcpuThreadTest, ParksAHaltedGuest) {
  Build(MSB_TINY_GUEST(marks));
  if (!vm_->ok()) return;
  vm_->Run();
  vm_->events.WaitFor("mark 3");

  vm_->thread().RequestPark();
  vm_->events.WaitFor("parked 0");
}

TEST_F(VcpuThreadTest, ReportsARequestThatFollowsAtOnceOnAnUnpark) {
  Build(MSB_TINY_GUEST(spin));
  if (!vm_->ok()) return;
  vm_->Run();

  for (int round = 0; round < 200; ++round) {
    vm_->thread().RequestPark();
    vm_->events.WaitFor("parked 0");
    vm_->thread().Unpark();
    vm_->thread().RequestPark();
    vm_->events.WaitFor("parked 0");
    vm_->thread().Unpark();
  }
}

TEST_F(VcpuThreadTest, StopsASpinningGuest) {
  Build(MSB_TINY_GUEST(spin));
  if (!vm_->ok()) return;
  vm_->Run();
  vm_->thread().Stop();
}

TEST_F(VcpuThreadTest, StopsBeforeTheFirstInstructionAndWhileParked) {
  Build(MSB_TINY_GUEST(counter));
  if (!vm_->ok()) return;
  ASSERT_OK(vm_->thread().Start());
  vm_->thread().Stop();
  EXPECT_EQ(vm_->Counter(), 0u);

  Build(MSB_TINY_GUEST(counter));
  if (!vm_->ok()) return;
  vm_->Run();
  vm_->events.WaitFor("mark 3");
  vm_->thread().RequestPark();
  vm_->events.WaitFor("parked 0");
  vm_->thread().Stop();
}

TEST_F(VcpuThreadTest, ASecondProcessorWaitsForItsStart) {
  Build(MSB_TINY_GUEST(start_second), 2);
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->events.WaitFor("mark 1");
  vm_->events.WaitFor("mark 2");
}

TEST_F(VcpuThreadTest, ParksAProcessorThatWasNeverStarted) {
  Build(MSB_TINY_GUEST(spin), 2);
  if (!vm_->ok()) return;
  vm_->Run();

  vm_->thread(1).RequestPark();
  vm_->events.WaitFor("parked 1");
  vm_->thread(1).Unpark();
}

}  // namespace
}  // namespace msb
