// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Everything that a vCPU is, beside guest memory: to save a machine and to go on from there.
//
// The order of saving and of restoring is part of the contract with KVM; see the source.

#ifndef MSB_VMM_KVM_VCPU_STATE_H_
#define MSB_VMM_KVM_VCPU_STATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "vmm/kvm/uapi.h"
#include "vmm/kvm/vcpu.h"

namespace msb {

struct VcpuState {
  kvm::CpuidTable cpuid;
  kvm_mp_state mp_state{};
  kvm_regs registers{};
  kvm_sregs special_registers{};
  kvm::XsaveArea xsave;
  kvm_xcrs extended_control{};
  kvm_debugregs debug_registers{};
  kvm_lapic_state local_apic{};
  kvm::MsrTable msrs;
  kvm_vcpu_events events{};
};

// Those of `supported` (Kvm::SupportedMsrs) that a guest's state consists of, in the order in which
// they are restored.
std::vector<uint32_t> MsrsToSave(absl::Span<const uint32_t> supported);

// Of a parked vCPU of a VM with interrupt controllers. `msrs` comes from MsrsToSave.
absl::StatusOr<VcpuState> SaveVcpu(const Vcpu& vcpu, absl::Span<const uint32_t> msrs);

// Into a vCPU of the same id that has not run. kKvmError when KVM refuses a part of it, as for a
// state of another kind of processor.
absl::Status RestoreVcpu(Vcpu& vcpu, const VcpuState& state);

}  // namespace msb

#endif  // MSB_VMM_KVM_VCPU_STATE_H_
