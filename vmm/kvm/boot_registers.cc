// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/boot_registers.h"

#include <cstring>

#include "base/status_macros.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/long_mode.h"

namespace msb {
namespace {

// Control registers (Intel SDM volume 3, 2.5) and EFER (2.2.1).
constexpr uint64_t kCr0 = 1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 16 | 1u << 31;
//                        PE        MP        ET        NE        WP         PG
constexpr uint64_t kCr4 = 1u << 5;              // PAE
constexpr uint64_t kEfer = 1u << 8 | 1u << 10;  // LME, LMA
constexpr uint64_t kRflags = 1u << 1;           // the bit that is always set; interrupts are off

// State of the FPU after FNINIT, and of SSE after reset.
constexpr uint16_t kFpuControlWord = 0x37f;
constexpr uint32_t kMxcsr = 0x1f80;

constexpr uint32_t kMsrMiscEnable = 0x1a0;
constexpr uint64_t kFastStrings = 1;
constexpr uint32_t kMsrMtrrDefaultType = 0x2ff;
constexpr uint64_t kMtrrEnabledWriteBack = 1u << 11 | 6;

// Local vector table (10.5.1): offsets into the LAPIC's page, and delivery modes.
constexpr size_t kLvtLint0 = 0x350;
constexpr size_t kLvtLint1 = 0x360;
constexpr uint32_t kDeliveryModeMask = 0x700;
constexpr uint32_t kDeliverNmi = 0x400;
constexpr uint32_t kDeliverExternal = 0x700;

kvm_segment Segment(uint16_t selector, uint8_t type, bool code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.l = code ? 1 : 0;
  segment.db = code ? 0 : 1;
  return segment;
}

void SetDeliveryMode(size_t offset, uint32_t mode, kvm_lapic_state& lapic) {
  uint32_t entry;
  std::memcpy(&entry, lapic.regs + offset, sizeof(entry));
  entry = (entry & ~kDeliveryModeMask) | mode;
  std::memcpy(lapic.regs + offset, &entry, sizeof(entry));
}

}  // namespace

absl::Status SetBootRegisters(Vcpu& vcpu, GuestAddress entry) {
  MSB_ASSIGN_OR_RETURN(kvm_sregs special, vcpu.GetSpecialRegisters());
  special.cs = Segment(kBootCodeSelector, /*type: execute, read, accessed*/ 11, /*code=*/true);
  special.ds = Segment(kBootDataSelector, /*type: read, write, accessed*/ 3, /*code=*/false);
  special.es = special.fs = special.gs = special.ss = special.ds;
  special.gdt.base = ToUint64(address_map::kGdt);
  special.gdt.limit = kGdtLimit;
  special.cr0 = kCr0;
  special.cr3 = ToUint64(address_map::kPageMapLevel4);
  special.cr4 = kCr4;
  special.efer = kEfer;
  MSB_RETURN_IF_ERROR(vcpu.SetSpecialRegisters(special));

  kvm_regs registers{};
  registers.rip = ToUint64(entry);
  registers.rsi = ToUint64(address_map::kZeroPage);
  registers.rsp = address_map::kBootStackTop;
  registers.rflags = kRflags;
  MSB_RETURN_IF_ERROR(vcpu.SetRegisters(registers));

  kvm_fpu fpu{};
  fpu.fcw = kFpuControlWord;
  fpu.mxcsr = kMxcsr;
  return vcpu.Control("KVM_SET_FPU", KVM_SET_FPU, &fpu);
}

absl::Status SetFirmwareState(Vcpu& vcpu) {
  kvm::MsrTable msrs;
  msrs.count = 2;
  msrs.entries[0] = {.index = kMsrMiscEnable, .data = kFastStrings};
  msrs.entries[1] = {.index = kMsrMtrrDefaultType, .data = kMtrrEnabledWriteBack};
  MSB_RETURN_IF_ERROR(vcpu.SetMsrs(msrs));

  kvm_lapic_state lapic{};
  MSB_RETURN_IF_ERROR(vcpu.Control("KVM_GET_LAPIC", KVM_GET_LAPIC, &lapic));
  SetDeliveryMode(kLvtLint0, kDeliverExternal, lapic);
  SetDeliveryMode(kLvtLint1, kDeliverNmi, lapic);
  return vcpu.Control("KVM_SET_LAPIC", KVM_SET_LAPIC, &lapic);
}

}  // namespace msb
