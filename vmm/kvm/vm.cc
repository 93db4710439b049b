// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vm.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/boot/address_map.h"

namespace msb {

absl::Status Vm::Control(absl::string_view name, unsigned long request, void* argument) const {
  const auto result = Syscall(name, [&] { return ::ioctl(vm_.get(), request, argument); });
  if (!result.ok()) return WithReason(Reason::kKvmError, "set up the VM", result.status());
  return absl::OkStatus();
}

absl::Status Vm::SetMemory(const GuestMemory& memory) {
  MSB_CHECK(!has_memory_ && !has_interrupt_controllers_);
  uint32_t slot = 0;
  for (const GuestMemory::Region& region : memory.regions()) {
    kvm_userspace_memory_region wanted{
        .slot = slot++,
        .flags = 0,
        .guest_phys_addr = ToUint64(region.range.start),
        .memory_size = region.range.size,
        .userspace_addr = reinterpret_cast<uint64_t>(region.host),
    };
    MSB_RETURN_IF_ERROR(Control("KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION, &wanted));
  }
  has_memory_ = true;
  return absl::OkStatus();
}

absl::Status Vm::CreateInterruptControllers() {
  MSB_CHECK(has_memory_ && !has_interrupt_controllers_);
  // Intel's real-mode emulation wants four pages of guest-physical space that nobody else uses. The
  // argument of KVM_SET_TSS_ADDR is the address itself.
  MSB_RETURN_IF_ERROR(Control("KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR,
                              reinterpret_cast<void*>(address_map::kTaskStateSegment)));
  uint64_t identity_map = address_map::kIdentityMap;
  MSB_RETURN_IF_ERROR(
      Control("KVM_SET_IDENTITY_MAP_ADDR", KVM_SET_IDENTITY_MAP_ADDR, &identity_map));
  MSB_RETURN_IF_ERROR(Control("KVM_CREATE_IRQCHIP", KVM_CREATE_IRQCHIP, nullptr));
  // Port 0x61 too: Linux gates the timer's channel 2 with it.
  kvm_pit_config pit{.flags = KVM_PIT_SPEAKER_DUMMY};
  MSB_RETURN_IF_ERROR(Control("KVM_CREATE_PIT2", KVM_CREATE_PIT2, &pit));
  has_interrupt_controllers_ = true;
  return absl::OkStatus();
}

absl::StatusOr<Vcpu> Vm::CreateVcpu(uint32_t id) {
  MSB_CHECK(has_memory_);
  const auto fd =
      Syscall("KVM_CREATE_VCPU", [&] { return ::ioctl(vm_.get(), KVM_CREATE_VCPU, id); });
  if (!fd.ok()) {
    return WithReason(Reason::kKvmError, absl::StrCat("create vCPU ", id), fd.status());
  }
  return Vcpu::Create(UniqueFd(*fd), run_bytes_, id);
}

absl::Status Vm::RaiseByEvent(int event, uint32_t gsi) {
  MSB_CHECK(has_interrupt_controllers_);
  kvm_irqfd wanted{.fd = static_cast<uint32_t>(event), .gsi = gsi};
  return Control("KVM_IRQFD", KVM_IRQFD, &wanted);
}

absl::Status Vm::SignalOnWrite(const IoEvent& wanted) {
  kvm_ioeventfd request{
      .datamatch = wanted.value.value_or(0),
      .addr = wanted.address,
      .len = wanted.bytes,
      .fd = wanted.event,
      .flags = wanted.value.has_value() ? (1u << kvm_ioeventfd_flag_nr_datamatch) : 0u,
  };
  return Control("KVM_IOEVENTFD", KVM_IOEVENTFD, &request);
}

}  // namespace msb
