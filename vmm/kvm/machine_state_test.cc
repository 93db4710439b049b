// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/machine_state.h"

#include <string>

#include "base/error.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

KvmMachineState SomeState() {
  KvmMachineState state;
  state.vcpus.resize(2);
  state.vcpus[0].cpuid.count = 3;
  state.vcpus[0].cpuid.entries[2].eax = 0x1234;
  state.vcpus[1].registers.rip = 0xffffffff81000000;
  state.vcpus[1].msrs.count = 2;
  state.vcpus[1].msrs.entries[1] = {.index = 0x10, .reserved = 0, .data = 77};
  state.vm.clock.clock = 5'000'000'000;
  state.vm.controllers[2].chip_id = KVM_IRQCHIP_IOAPIC;
  state.serial.set_scratch(9);
  return state;
}

msb::vmm::v1::MachineState Message() {
  msb::vmm::v1::MachineState message;
  EXPECT_TRUE(message.ParseFromString(EncodeMachineState(SomeState())));
  return message;
}

TEST(MachineStateTest, ComesBackAsItWas) {
  ASSERT_OK_AND_ASSIGN(const KvmMachineState state,
                       DecodeMachineState(EncodeMachineState(SomeState())));
  ASSERT_EQ(state.vcpus.size(), 2u);
  EXPECT_EQ(state.vcpus[0].cpuid.count, 3u);
  EXPECT_EQ(state.vcpus[0].cpuid.entries[2].eax, 0x1234u);
  EXPECT_EQ(state.vcpus[1].registers.rip, 0xffffffff81000000);
  EXPECT_EQ(state.vcpus[1].msrs.entries[1].data, 77u);
  EXPECT_EQ(state.vm.clock.clock, 5'000'000'000u);
  EXPECT_EQ(state.vm.controllers[2].chip_id, uint32_t{KVM_IRQCHIP_IOAPIC});
  EXPECT_EQ(state.serial.scratch(), 9u);
}

TEST(MachineStateTest, AStructureOfAnotherSizeIsRefused) {
  auto message = Message();
  message.mutable_vcpus(0)->mutable_registers()->pop_back();
  EXPECT_THAT(DecodeMachineState(message.SerializeAsString()), HasReason(Reason::kStateInvalid));
  message = Message();
  message.mutable_clock()->push_back('x');
  EXPECT_THAT(DecodeMachineState(message.SerializeAsString()), HasReason(Reason::kStateInvalid));
}

TEST(MachineStateTest, ATableOfAnotherLengthThanItSaysIsRefused) {
  auto message = Message();
  message.mutable_vcpus(0)->mutable_cpuid()->at(0) = 4;  // it has three entries
  EXPECT_THAT(DecodeMachineState(message.SerializeAsString()), HasReason(Reason::kStateInvalid));
  message = Message();
  message.mutable_vcpus(1)->mutable_msrs()->resize(3);
  EXPECT_THAT(DecodeMachineState(message.SerializeAsString()), HasReason(Reason::kStateInvalid));
  message = Message();
  message.mutable_vcpus(1)->mutable_msrs()->append(100 * sizeof(kvm_msr_entry), '\0');
  EXPECT_THAT(DecodeMachineState(message.SerializeAsString()), HasReason(Reason::kStateInvalid));
}

TEST(MachineStateTest, WhatLacksAPartIsRefused) {
  auto message = Message();
  message.mutable_interrupt_controllers()->RemoveLast();
  EXPECT_THAT(DecodeMachineState(message.SerializeAsString()), HasReason(Reason::kStateInvalid));
  EXPECT_THAT(DecodeMachineState(""), HasReason(Reason::kStateInvalid));
  EXPECT_THAT(DecodeMachineState("\xff\xff"), HasReason(Reason::kStateInvalid));
}

}  // namespace
}  // namespace msb
