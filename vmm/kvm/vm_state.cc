// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vm_state.h"

#include "base/status_macros.h"

namespace msb {

absl::StatusOr<VmState> SaveVm(const Vm& vm) {
  VmState state;
  MSB_RETURN_IF_ERROR(vm.Control("KVM_GET_PIT2", KVM_GET_PIT2, &state.timer));
  MSB_RETURN_IF_ERROR(vm.Control("KVM_GET_CLOCK", KVM_GET_CLOCK, &state.clock));
  for (uint32_t chip : {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC}) {
    state.controllers[chip].chip_id = chip;
    MSB_RETURN_IF_ERROR(vm.Control("KVM_GET_IRQCHIP", KVM_GET_IRQCHIP, &state.controllers[chip]));
  }
  return state;
}

absl::Status RestoreVm(Vm& vm, const VmState& state) {
  VmState copy = state;  // ioctls take what they only read as writable
  MSB_RETURN_IF_ERROR(vm.Control("KVM_SET_PIT2", KVM_SET_PIT2, &copy.timer));
  // What KVM_GET_CLOCK says about its answer in `flags` would be requests here.
  copy.clock.flags = 0;
  MSB_RETURN_IF_ERROR(vm.Control("KVM_SET_CLOCK", KVM_SET_CLOCK, &copy.clock));
  for (uint32_t chip : {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC}) {
    copy.controllers[chip].chip_id = chip;
    MSB_RETURN_IF_ERROR(vm.Control("KVM_SET_IRQCHIP", KVM_SET_IRQCHIP, &copy.controllers[chip]));
  }
  return absl::OkStatus();
}

}  // namespace msb
