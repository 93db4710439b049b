// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu_exit.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "base/error.h"

namespace msb {
namespace {

constexpr uint64_t kMaxInstructionBytes = 15;
constexpr uint64_t kPageBytes = 4096;

std::string Hex(absl::Span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) absl::StrAppendFormat(&text, " %02x", byte);
  return text;
}

std::string InstructionPointer(const Vcpu& vcpu) {
  const absl::StatusOr<kvm_regs> registers = vcpu.GetRegisters();
  if (!registers.ok()) return "rip unknown";
  return absl::StrFormat("rip=%#x", registers->rip);
}

// The bytes at the instruction pointer, by the guest's own page tables; up to the end of the page.
std::string InstructionInMemory(const Vcpu& vcpu, const GuestMemory& memory) {
  const absl::StatusOr<kvm_regs> registers = vcpu.GetRegisters();
  if (!registers.ok()) return "";
  // In real mode the segment's base counts too.
  const absl::StatusOr<kvm_sregs> special = vcpu.GetSpecialRegisters();
  if (!special.ok()) return "";
  kvm_translation translation{.linear_address = special->cs.base + registers->rip};
  if (!vcpu.Control("KVM_TRANSLATE", KVM_TRANSLATE, &translation).ok() || !translation.valid) {
    return "";
  }
  const uint64_t address = translation.physical_address;
  const uint64_t bytes = std::min(kMaxInstructionBytes, kPageBytes - address % kPageBytes);
  const auto found = memory.Bytes({GuestAddress{address}, bytes});
  return found.ok() ? absl::StrCat(" instruction:", Hex(*found)) : "";
}

absl::string_view SuberrorName(uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "KVM's instruction emulator has no such instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "two exceptions at once";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "exit while an event was being delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "exit for an unknown reason";
    default:
      return "unknown";
  }
}

absl::Status InternalError(const Vcpu& vcpu, const GuestMemory& memory) {
  const kvm_run& run = vcpu.run();
  std::string text = absl::StrFormat("KVM_EXIT_INTERNAL_ERROR on vCPU %d: suberror=%d (%s) %s",
                                     vcpu.id(), run.internal.suberror,
                                     SuberrorName(run.internal.suberror), InstructionPointer(vcpu));
  const bool has_bytes =
      run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run.emulation_failure.ndata >= 3 &&
      (run.emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0 &&
      run.emulation_failure.insn_size > 0;
  if (has_bytes) {
    const size_t size =
        std::min<size_t>(run.emulation_failure.insn_size, sizeof(run.emulation_failure.insn_bytes));
    absl::StrAppend(&text, " instruction:", Hex({run.emulation_failure.insn_bytes, size}));
  } else {
    absl::StrAppend(&text, InstructionInMemory(vcpu, memory));
    const size_t count = std::min<size_t>(run.internal.ndata, std::size(run.internal.data));
    for (size_t i = 0; i < count; ++i) {
      absl::StrAppendFormat(&text, "%s%#x", i == 0 ? " data: " : ",", run.internal.data[i]);
    }
  }
  return MakeError(Reason::kKvmInternalError, text);
}

absl::Status SystemEvent(const Vcpu& vcpu) {
  switch (vcpu.run().system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
      return MakeError(Reason::kGuestShutdown, "the guest has switched the machine off");
    case KVM_SYSTEM_EVENT_RESET:
      return MakeError(Reason::kGuestReset, "the guest has reset the machine");
    case KVM_SYSTEM_EVENT_CRASH:
      return MakeError(Reason::kGuestReset, "the guest has reported a crash");
    default:
      return MakeError(Reason::kKvmError, absl::StrCat("KVM_EXIT_SYSTEM_EVENT of unknown type ",
                                                       vcpu.run().system_event.type));
  }
}

}  // namespace

absl::Status EndOfVcpu(const Vcpu& vcpu, const GuestMemory& memory) {
  const kvm_run& run = vcpu.run();
  switch (run.exit_reason) {
    case KVM_EXIT_SHUTDOWN:
      return MakeError(Reason::kTripleFault, absl::StrCat("triple fault on vCPU ", vcpu.id(), ", ",
                                                          InstructionPointer(vcpu)));
    case KVM_EXIT_INTERNAL_ERROR:
      return InternalError(vcpu, memory);
    case KVM_EXIT_SYSTEM_EVENT:
      return SystemEvent(vcpu);
    case KVM_EXIT_FAIL_ENTRY:
      return MakeError(
          Reason::kKvmError,
          absl::StrFormat("KVM_EXIT_FAIL_ENTRY on vCPU %d: hardware reason %#x, %s", vcpu.id(),
                          run.fail_entry.hardware_entry_failure_reason, InstructionPointer(vcpu)));
    case KVM_EXIT_HLT:
      return MakeError(Reason::kKvmError,
                       absl::StrFormat("HLT on vCPU %d without an interrupt controller, %s",
                                       vcpu.id(), InstructionPointer(vcpu)));
    default:
      return MakeError(Reason::kKvmError,
                       absl::StrFormat("unexpected KVM exit %d on vCPU %d, %s", run.exit_reason,
                                       vcpu.id(), InstructionPointer(vcpu)));
  }
}

}  // namespace msb
