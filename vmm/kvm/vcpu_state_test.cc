// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "tests/support/vmm/tiny_vm.h"
#include "vmm/kvm/vm_state.h"

namespace msb {
namespace {

// A guest runs in one VM, stops, and goes on in another.
class VcpuStateTest : public ::testing::Test {
 protected:
  void Start(absl::string_view code) {
    first_ = std::make_unique<TinyVm>(code, 1);
    if (!first_->ok()) return;
    ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> supported, first_->kvm().SupportedMsrs());
    msrs_ = MsrsToSave(supported);
    first_->Run();
  }
  void Save() {
    first_->Park();
    ASSERT_OK_AND_ASSIGN(vcpu_state_, SaveVcpu(first_->thread().vcpu(), msrs_));
    ASSERT_OK_AND_ASSIGN(vm_state_, SaveVm(first_->vm()));
  }
  void Restore() {
    second_ =
        std::make_unique<TinyVm>("", 1, TinyVm::Controllers::kWith, TinyVm::Processors::kBlank);
    ASSERT_TRUE(second_->ok());
    const auto from = *first_->memory().Bytes(TinyVm::kMemory);
    const auto to = *second_->memory().Bytes(TinyVm::kMemory);
    std::memcpy(to.data(), from.data(), from.size());
    ASSERT_OK(RestoreVcpu(second_->thread().vcpu(), vcpu_state_));
    ASSERT_OK(RestoreVm(second_->vm(), vm_state_));
  }

  std::unique_ptr<TinyVm> first_, second_;
  std::vector<uint32_t> msrs_;
  VcpuState vcpu_state_;
  VmState vm_state_;
};

template <typename T>
bool Same(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

TEST_F(VcpuStateTest, AGuestCountsOnFromWhereItWasSaved) {
  Start(MSB_TINY_GUEST(counter));
  if (!first_->ok()) return;
  first_->events.WaitFor("mark 3");
  Save();
  const uint64_t saved_at = first_->Counter();
  Restore();
  EXPECT_EQ(second_->Counter(), saved_at);

  second_->Run();
  while (second_->Counter() < saved_at + 100) ::sched_yield();
  EXPECT_EQ(first_->Counter(), saved_at);
}

TEST_F(VcpuStateTest, RestoresEveryRegister) {
  Start(MSB_TINY_GUEST(counter));
  if (!first_->ok()) return;
  first_->events.WaitFor("mark 3");
  Save();
  Restore();

  ASSERT_OK_AND_ASSIGN(const VcpuState again, SaveVcpu(second_->thread().vcpu(), msrs_));
  EXPECT_TRUE(Same(again.registers, vcpu_state_.registers));
  EXPECT_TRUE(Same(again.special_registers, vcpu_state_.special_registers));
  EXPECT_TRUE(Same(again.xsave, vcpu_state_.xsave));
  EXPECT_TRUE(Same(again.extended_control, vcpu_state_.extended_control));
  EXPECT_TRUE(Same(again.debug_registers, vcpu_state_.debug_registers));
  EXPECT_TRUE(Same(again.mp_state, vcpu_state_.mp_state));
  EXPECT_TRUE(Same(again.cpuid, vcpu_state_.cpuid));
  ASSERT_EQ(again.msrs.count, vcpu_state_.msrs.count);
  for (uint32_t i = 0; i < again.msrs.count; ++i) {
    const bool is_clock = again.msrs.entries[i].index == 0x10;  // the time stamp counter goes on
    if (is_clock) {
      EXPECT_GE(again.msrs.entries[i].data, vcpu_state_.msrs.entries[i].data);
    } else {
      EXPECT_EQ(again.msrs.entries[i].data, vcpu_state_.msrs.entries[i].data)
          << std::hex << again.msrs.entries[i].index;
    }
  }
}

// It halts between the ticks of its local APIC: what wakes it in the second VM is a timer that was
// armed in the first.
TEST_F(VcpuStateTest, AnArmedTimerFiresAfterTheRestore) {
  for (int round = 0; round < 10; ++round) {
    Start(MSB_TINY_GUEST(ticker));
    if (!first_->ok()) return;
    first_->events.WaitFor("mark 2");
    Save();
    Restore();
    second_->Run();
    second_->events.WaitFor("mark 2");
    second_->events.WaitFor("mark 2");
  }
}

TEST_F(VcpuStateTest, AnMsrThatKvmDoesNotKnowIsNamed) {
  Start(MSB_TINY_GUEST(halt));
  if (!first_->ok()) return;
  first_->Park();
  const std::vector<uint32_t> unknown = {0x10, 0xdead};
  const auto state = SaveVcpu(first_->thread().vcpu(), unknown);
  EXPECT_THAT(state, HasReason(Reason::kKvmError));
  EXPECT_THAT(state.status().message(), ::testing::HasSubstr("0xdead"));
}

TEST_F(VcpuStateTest, RefusesAnMsrFromAnotherMachine) {
  Start(MSB_TINY_GUEST(halt));
  if (!first_->ok()) return;
  Save();
  vcpu_state_.msrs.entries[vcpu_state_.msrs.count++].index = 0xdead;
  second_ = std::make_unique<TinyVm>("", 1, TinyVm::Controllers::kWith, TinyVm::Processors::kBlank);
  EXPECT_THAT(RestoreVcpu(second_->thread().vcpu(), vcpu_state_), HasReason(Reason::kKvmError));
}

TEST(MsrsToSaveTest, KeepsTheOrderAndLeavesOutWhatTheHostLacks) {
  EXPECT_THAT(MsrsToSave(std::vector<uint32_t>{0x6e0, 0xdead, 0x277, 0x10}),
              ::testing::ElementsAre(0x10, 0x277, 0x6e0));
}

}  // namespace
}  // namespace msb
