// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a VM is beside its memory and its vCPUs: KVM's timer, clock and interrupt controllers.

#ifndef MSB_VMM_KVM_VM_STATE_H_
#define MSB_VMM_KVM_VM_STATE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/uapi.h"
#include "vmm/kvm/vm.h"

namespace msb {

struct VmState {
  kvm_pit_state2 timer{};
  kvm_clock_data clock{};
  kvm_irqchip controllers[3]{};  // KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC
};

// With every vCPU parked, and saved before.
absl::StatusOr<VmState> SaveVm(const Vm& vm);

// Into a VM with interrupt controllers, behind its vCPUs. The guest's clock goes on from where it
// stood: the time in between is not in it.
absl::Status RestoreVm(Vm& vm, const VmState& state);

}  // namespace msb

#endif  // MSB_VMM_KVM_VM_STATE_H_
