// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/kvm.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

struct Requirement {
  int capability;
  const char* name;
};

constexpr Requirement kRequirements[] = {
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

}  // namespace

absl::StatusOr<Kvm> Kvm::Create(UniqueFd device) {
  const auto version =
      Syscall("KVM_GET_API_VERSION", [&] { return ::ioctl(device.get(), KVM_GET_API_VERSION, 0); });
  if (!version.ok()) {
    return WithReason(Reason::kKvmUnavailable, "the descriptor is not /dev/kvm", version.status());
  }
  if (*version != kvm::kApiVersion) {
    return MakeError(Reason::kKvmUnavailable, absl::StrCat("KVM has API version ", *version));
  }
  for (const Requirement& needed : kRequirements) {
    if (::ioctl(device.get(), KVM_CHECK_EXTENSION, needed.capability) <= 0) {
      return MakeError(Reason::kKvmUnavailable,
                       absl::StrCat("the host's kernel lacks ", needed.name));
    }
  }
  const auto run_bytes = Syscall("KVM_GET_VCPU_MMAP_SIZE",
                                 [&] { return ::ioctl(device.get(), KVM_GET_VCPU_MMAP_SIZE, 0); });
  if (!run_bytes.ok()) return WithReason(Reason::kKvmError, "open KVM", run_bytes.status());
  if (static_cast<size_t>(*run_bytes) < sizeof(kvm_run)) {
    return MakeError(Reason::kKvmUnavailable, "KVM's vCPU area is smaller than kvm_run");
  }
  return Kvm(std::move(device), static_cast<size_t>(*run_bytes));
}

bool Kvm::HasExtension(int capability) const {
  return ::ioctl(device_.get(), KVM_CHECK_EXTENSION, capability) > 0;
}

absl::StatusOr<kvm::CpuidTable> Kvm::SupportedCpuid() const {
  kvm::CpuidTable table;
  table.count = kvm::kMaxCpuidEntries;
  const auto got = Syscall("KVM_GET_SUPPORTED_CPUID",
                           [&] { return ::ioctl(device_.get(), kvm::kGetSupportedCpuid, &table); });
  if (!got.ok()) return WithReason(Reason::kKvmError, "ask for the CPU's features", got.status());
  return table;
}

absl::StatusOr<std::vector<uint32_t>> Kvm::SupportedMsrs() const {
  kvm::MsrIndexList list;
  list.count = kvm::kMaxMsrIndices;
  const auto got = Syscall("KVM_GET_MSR_INDEX_LIST",
                           [&] { return ::ioctl(device_.get(), kvm::kGetMsrIndexList, &list); });
  if (!got.ok()) return WithReason(Reason::kKvmError, "ask for the MSRs", got.status());
  return std::vector<uint32_t>(list.indices, list.indices + list.count);
}

absl::StatusOr<Vm> Kvm::CreateVm() const {
  const auto vm =
      Syscall("KVM_CREATE_VM", [&] { return ::ioctl(device_.get(), KVM_CREATE_VM, 0); });
  if (!vm.ok()) return WithReason(Reason::kKvmError, "create a VM", vm.status());
  return Vm(UniqueFd(*vm), run_bytes_);
}

}  // namespace msb
