// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the guest's CPUID instruction answers: the host's features as KVM offers them, with the
// topology of the virtual machine instead of the host's, and without what a guest has no use for.

#ifndef MSB_VMM_KVM_CPUID_H_
#define MSB_VMM_KVM_CPUID_H_

#include <cstdint>

#include "vmm/kvm/uapi.h"

namespace msb {

struct CpuidOptions {
  uint32_t vcpus = 1;  // 1..kMaxVcpus
  // The host has KVM_CAP_TSC_DEADLINE_TIMER; KVM does not say so in the leaves themselves.
  bool tsc_deadline_timer = false;
  // See vm_spec.proto, KvmOptions: leaves out what KVM's instruction emulator cannot do.
  bool emulated_ring0 = false;
};

// The table for the processor with APIC id `vcpu`. The machine is one package of `vcpus` cores with
// one thread each.
kvm::CpuidTable GuestCpuid(const kvm::CpuidTable& supported, uint32_t vcpu,
                           const CpuidOptions& options);

}  // namespace msb

#endif  // MSB_VMM_KVM_CPUID_H_
