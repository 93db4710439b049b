// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu_state.h"

#include <algorithm>

#include "base/status_macros.h"

namespace msb {
namespace {

// By name in arch/x86/include/asm/msr-index.h and uapi/asm/kvm_para.h. The time stamp counter comes
// before the deadline that is measured by it.
constexpr uint32_t kMsrs[] = {
    0x10,        // TSC
    0x3b,        // TSC_ADJUST
    0x48,        // SPEC_CTRL
    0xe1,        // UMWAIT_CONTROL
    0x122,       // TSX_CTRL
    0x174,       // SYSENTER_CS
    0x175,       // SYSENTER_ESP
    0x176,       // SYSENTER_EIP
    0x1a0,       // MISC_ENABLE
    0x1c4,       // XFD
    0x1c5,       // XFD_ERR
    0x277,       // PAT
    0x2ff,       // MTRR default type
    0xda0,       // XSS
    0xc0000081,  // STAR
    0xc0000082,  // LSTAR
    0xc0000083,  // CSTAR
    0xc0000084,  // SYSCALL_MASK
    0xc0000102,  // KERNEL_GS_BASE
    0xc0000103,  // TSC_AUX
    0x4b564d00,  // KVM wall clock
    0x4b564d01,  // KVM system time
    0x4b564d02,  // KVM asynchronous page faults
    0x4b564d03,  // KVM steal time
    0x4b564d04,  // KVM paravirtual end of interrupt
    0x4b564d05,  // KVM polling control
    0x4b564d06,  // KVM asynchronous page faults, interrupt
    0x6e0,       // TSC_DEADLINE
};
static_assert(std::size(kMsrs) <= kvm::kMaxMsrEntries);

}  // namespace

std::vector<uint32_t> MsrsToSave(absl::Span<const uint32_t> supported) {
  std::vector<uint32_t> chosen;
  for (const uint32_t msr : kMsrs) {
    if (std::find(supported.begin(), supported.end(), msr) != supported.end())
      chosen.push_back(msr);
  }
  return chosen;
}

// MP_STATE first: reading it makes KVM settle pending INIT and SIPI, which changes registers. The
// events last: what the steps before have made pending is in them.
absl::StatusOr<VcpuState> SaveVcpu(const Vcpu& vcpu, absl::Span<const uint32_t> msrs) {
  VcpuState state;
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_MP_STATE", KVM_GET_MP_STATE, &state.mp_state));
  MSB_ASSIGN_OR_RETURN(state.registers, vcpu.GetRegisters());
  MSB_ASSIGN_OR_RETURN(state.special_registers, vcpu.GetSpecialRegisters());
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_XSAVE", kvm::kGetXsave, &state.xsave));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_XCRS", KVM_GET_XCRS, &state.extended_control));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_DEBUGREGS", KVM_GET_DEBUGREGS, &state.debug_registers));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_LAPIC", KVM_GET_LAPIC, &state.local_apic));
  MSB_ASSIGN_OR_RETURN(state.msrs, vcpu.GetMsrs(msrs));
  MSB_ASSIGN_OR_RETURN(state.cpuid, vcpu.GetCpuid());
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_VCPU_EVENTS", KVM_GET_VCPU_EVENTS, &state.events));
  return state;
}

// CPUID first: it decides which of the rest is legal. The LAPIC before the MSRs: the deadline timer
// is armed by its MSR, and a LAPIC that is set later disarms it again. The events last, as they
// were read.
absl::Status RestoreVcpu(Vcpu& vcpu, const VcpuState& state) {
  VcpuState copy = state;  // ioctls take what they only read as writable
  MSB_RETURN_IF_ERROR(vcpu.SetCpuid(state.cpuid));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_SET_MP_STATE", KVM_SET_MP_STATE, &copy.mp_state));
  MSB_RETURN_IF_ERROR(vcpu.SetRegisters(state.registers));
  MSB_RETURN_IF_ERROR(vcpu.SetSpecialRegisters(state.special_registers));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_SET_XSAVE", kvm::kSetXsave, &copy.xsave));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_SET_XCRS", KVM_SET_XCRS, &copy.extended_control));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_SET_DEBUGREGS", KVM_SET_DEBUGREGS, &copy.debug_registers));
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_SET_LAPIC", KVM_SET_LAPIC, &copy.local_apic));
  MSB_RETURN_IF_ERROR(vcpu.SetMsrs(state.msrs));
  return vcpu.Control("KVM_SET_VCPU_EVENTS", KVM_SET_VCPU_EVENTS, &copy.events);
}

}  // namespace msb
