// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Why a vCPU cannot go on, in words.

#ifndef MSB_VMM_KVM_VCPU_EXIT_H_
#define MSB_VMM_KVM_VCPU_EXIT_H_

#include "absl/status/status.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

// The status for the exit that vcpu.run() holds, which is neither port nor memory I/O. Never OK:
//   kTripleFault       KVM_EXIT_SHUTDOWN. With reboot=t that is also how Linux resets the machine.
//   kGuestReset, kGuestShutdown  KVM_EXIT_SYSTEM_EVENT of that kind
//   kKvmInternalError  KVM could not go on: suberror, rip and the bytes of the instruction. A retry
//   would
//                      end the same way.
//   kKvmError          everything else: KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT (only without interrupt
//                      controllers), an exit that we do not know
// On the vCPU's thread.
absl::Status EndOfVcpu(const Vcpu& vcpu, const GuestMemory& memory);

}  // namespace msb

#endif  // MSB_VMM_KVM_VCPU_EXIT_H_
