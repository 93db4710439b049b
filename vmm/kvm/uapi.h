// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The KVM interface of Linux (Documentation/virt/kvm/api.rst), with what <linux/kvm.h> gets wrong
// here.
//
// Some structures end in a flexible array. Debian 12's header declares it through a macro that adds
// a member of size 1 in C++, so sizeof(kvm_cpuid2) is 12 instead of 8 and sizeof(kvm_xsave) 4100
// instead of 4096; the size is part of the request number, and the kernel answers EINVAL. Those
// requests are spelt out here with the size that the kernel means.

#ifndef MSB_VMM_KVM_UAPI_H_
#define MSB_VMM_KVM_UAPI_H_

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace msb::kvm {

inline constexpr int kApiVersion = 12;  // the only one since 2007

inline constexpr unsigned long kGetMsrIndexList = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x02, 4);
inline constexpr unsigned long kGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
inline constexpr unsigned long kGetMsrs = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, 8);
inline constexpr unsigned long kSetMsrs = _IOC(_IOC_WRITE, KVMIO, 0x89, 8);
inline constexpr unsigned long kSetCpuid2 = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);
inline constexpr unsigned long kGetCpuid2 = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x91, 8);
inline constexpr unsigned long kGetXsave = _IOC(_IOC_READ, KVMIO, 0xa4, 4096);
inline constexpr unsigned long kSetXsave = _IOC(_IOC_WRITE, KVMIO, 0xa5, 4096);

static_assert(_IOC_SIZE(kGetMsrIndexList) == 4);
static_assert(_IOC_SIZE(kGetSupportedCpuid) == 8);
static_assert(_IOC_SIZE(kGetMsrs) == 8);
static_assert(_IOC_SIZE(kSetMsrs) == 8);
static_assert(_IOC_SIZE(kSetCpuid2) == 8);
static_assert(_IOC_SIZE(kGetCpuid2) == 8);
static_assert(_IOC_SIZE(kGetXsave) == 4096);
static_assert(_IOC_SIZE(kSetXsave) == 4096);
// The fixed-size ones that the header has right; a change there would be as silent.
static_assert(_IOC_SIZE(KVM_SET_USER_MEMORY_REGION) == 32);
static_assert(_IOC_SIZE(KVM_IRQFD) == 32);
static_assert(_IOC_SIZE(KVM_IOEVENTFD) == 64);
static_assert(_IOC_SIZE(KVM_GET_REGS) == 144);
static_assert(_IOC_SIZE(KVM_GET_SREGS) == 312);
static_assert(_IOC_SIZE(KVM_GET_LAPIC) == 1024);
static_assert(_IOC_SIZE(KVM_GET_VCPU_EVENTS) == 64);
static_assert(_IOC_SIZE(KVM_GET_DEBUGREGS) == 128);
static_assert(_IOC_SIZE(KVM_GET_XCRS) == 392);
static_assert(_IOC_SIZE(KVM_GET_PIT2) == 112);
static_assert(_IOC_SIZE(KVM_GET_CLOCK) == 48);
static_assert(_IOC_SIZE(KVM_GET_IRQCHIP) == 520);

// Bounds of our own on the lists, above what any kernel answers with (6.18: 60 leaves).
inline constexpr size_t kMaxCpuidEntries = 256;
inline constexpr size_t kMaxMsrEntries = 64;
inline constexpr size_t kMaxMsrIndices = 1024;

// kvm_cpuid2 and kvm_msrs with room for their entries.
struct CpuidTable {
  uint32_t count = 0;
  uint32_t padding = 0;
  kvm_cpuid_entry2 entries[kMaxCpuidEntries] = {};
};
static_assert(offsetof(CpuidTable, entries) == 8);
static_assert(sizeof(kvm_cpuid_entry2) == 40);

struct MsrTable {
  uint32_t count = 0;
  uint32_t padding = 0;
  kvm_msr_entry entries[kMaxMsrEntries] = {};
};
static_assert(offsetof(MsrTable, entries) == 8);
static_assert(sizeof(kvm_msr_entry) == 16);

struct MsrIndexList {
  uint32_t count = 0;
  uint32_t indices[kMaxMsrIndices] = {};
};
static_assert(offsetof(MsrIndexList, indices) == 4);

// kvm_xsave, which is 4100 bytes in C++. Larger states (AMX) exist only for a VMM that asks the
// host for the permission to use them; this one does not, and KVM then offers none to the guest.
struct XsaveArea {
  uint32_t region[1024] = {};
};
static_assert(sizeof(XsaveArea) == 4096);

}  // namespace msb::kvm

#endif  // MSB_VMM_KVM_UAPI_H_
