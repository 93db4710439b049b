// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The registers of a processor at the first instruction.

#ifndef MSB_VMM_KVM_BOOT_REGISTERS_H_
#define MSB_VMM_KVM_BOOT_REGISTERS_H_

#include "absl/status/status.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_address.h"

namespace msb {

// The processor that starts: long mode on the tables of boot/long_mode.h, at `entry`, as the 64-bit
// boot protocol asks. Its CPUID is set already.
absl::Status SetBootRegisters(Vcpu& vcpu, GuestAddress entry);

// What every processor gets, the started one and those that wait: the MSRs of a firmware that is
// done, and the local APIC's lines as the MP table describes them. After the CPUID.
absl::Status SetFirmwareState(Vcpu& vcpu);

}  // namespace msb

#endif  // MSB_VMM_KVM_BOOT_REGISTERS_H_
