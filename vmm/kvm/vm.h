// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A KVM virtual machine: its memory slots, interrupt controllers and event descriptors.
//
// The order matters. Memory first, then the interrupt controllers, then vCPUs: once the controllers
// are there, every memory slot waits some milliseconds for an SRCU grace period of the host's
// kernel. Calling out of order is a bug of ours and ends the process.
//
// A VM belongs to the address space that made it; it cannot be used after a fork.

#ifndef MSB_VMM_KVM_VM_H_
#define MSB_VMM_KVM_VM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "vmm/kvm/uapi.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class Vm {
 public:
  // `vm` comes from KVM_CREATE_VM, `run_bytes` from KVM_GET_VCPU_MMAP_SIZE.
  Vm(UniqueFd vm, size_t run_bytes) : vm_(std::move(vm)), run_bytes_(run_bytes) {}

  // Makes `memory` the RAM of the guest; it outlives the VM. Once, before everything else.
  absl::Status SetMemory(const GuestMemory& memory);

  // PIC, IOAPIC, a LAPIC for each vCPU to come, and the PIT (which Linux needs to calibrate timers
  // on a machine without ACPI). Without them a vCPU that executes HLT leaves KVM_RUN.
  absl::Status CreateInterruptControllers();

  // `id` is the APIC id; 0 is the processor that starts, the others wait for INIT and SIPI.
  absl::StatusOr<Vcpu> CreateVcpu(uint32_t id);

  // A write to `event` raises interrupt line `gsi` and lets go of it: an edge.
  absl::Status RaiseByEvent(int event, uint32_t gsi);

  // A guest's write of `bytes` (1, 2, 4 or 8) at `address` signals `event` and does not leave the
  // kernel; when `value` is set, only a write of that value.
  struct IoEvent {
    int event = -1;
    uint64_t address = 0;
    uint32_t bytes = 4;
    std::optional<uint64_t> value;
  };
  absl::Status SignalOnWrite(const IoEvent& wanted);

  // For VmState: one ioctl on the VM.
  absl::Status Control(absl::string_view name, unsigned long request, void* argument) const;

  bool has_interrupt_controllers() const { return has_interrupt_controllers_; }

 private:
  UniqueFd vm_;
  size_t run_bytes_;
  bool has_memory_ = false;
  bool has_interrupt_controllers_ = false;
};

}  // namespace msb

#endif  // MSB_VMM_KVM_VM_H_
