// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/cpuid.h"

#include <algorithm>

#include "absl/numeric/bits.h"

namespace msb {
namespace {

// Leaves (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E).
enum Leaf : uint32_t {
  kFeatures = 0x1,
  kSerialNumber = 0x3,
  kCaches = 0x4,
  kPower = 0x6,
  kExtendedFeatures = 0x7,
  kPerformance = 0xa,
  kTopology = 0xb,
  kXsave = 0xd,
  kResourceMonitoring = 0xf,
  kResourceAllocation = 0x10,
  kTopologyV2 = 0x1f,
  kParavirtual = 0x40000001,  // KVM's own (Documentation/virt/kvm/x86/cpuid.rst)
  kAmdFeatures = 0x80000001,
  kAmdSizes = 0x80000008,
  kAmdCaches = 0x8000001d,
  kAmdTopology = 0x8000001e,
};

constexpr uint32_t Bit(unsigned bit) { return 1u << bit; }

// Leaf 1, ECX.
constexpr uint32_t kMonitor = Bit(3);
constexpr uint32_t kTscDeadline = Bit(24);
constexpr uint32_t kHypervisor = Bit(31);
// Leaf 1, EDX.
constexpr uint32_t kHyperThreading = Bit(28);  // "more than one id in the package"

// Where ring 0 runs in KVM's instruction emulator, leaf 1 loses MONITOR, FMA, CX16, PCID, x2APIC,
// POPCNT, XSAVE, OSXSAVE, AVX, F16C and RDRAND; of leaf 7 only BMI1 and BMI2 remain, which
// compilers put into ring 3 code.
constexpr uint32_t kEmulatorLacksLeaf1Ecx = Bit(3) | Bit(12) | Bit(13) | Bit(17) | Bit(21) |
                                            Bit(23) | Bit(26) | Bit(27) | Bit(28) | Bit(29) |
                                            Bit(30);
constexpr uint32_t kEmulatorKeepsLeaf7Ebx = Bit(3) | Bit(8);
// AMD's own vector and bit instructions: XOP, FMA4, TBM.
constexpr uint32_t kEmulatorLacksAmdEcx = Bit(11) | Bit(16) | Bit(21);

// A hypercall from emulated ring 0 never ends: the emulator rewrites the instruction for the
// processor to execute it, and meets it again. So whatever Linux would make one for is not offered:
// PV_UNHALT (to wake a waiter), PV_SEND_IPI (with which no second processor comes up),
// PV_SCHED_YIELD, MAP_GPA_RANGE.
constexpr uint32_t kEmulatorLacksHypercalls = Bit(7) | Bit(11) | Bit(13) | Bit(16);

constexpr uint32_t kThreadLevel = 1;  // level types of the topology leaves
constexpr uint32_t kCoreLevel = 2;

// How many bits of the APIC id tell the cores apart.
uint32_t CoreIdBits(uint32_t vcpus) { return static_cast<uint32_t>(absl::bit_width(vcpus - 1)); }

void ClearRegisters(kvm_cpuid_entry2& leaf) { leaf.eax = leaf.ebx = leaf.ecx = leaf.edx = 0; }

void SetFeatures(uint32_t vcpu, const CpuidOptions& options, kvm_cpuid_entry2& leaf) {
  leaf.ebx = (leaf.ebx & 0xffff) | options.vcpus << 16 | vcpu << 24;
  leaf.ecx = (leaf.ecx & ~kMonitor) | kHypervisor;
  if (options.tsc_deadline_timer) leaf.ecx |= kTscDeadline;
  leaf.edx = options.vcpus > 1 ? leaf.edx | kHyperThreading : leaf.edx & ~kHyperThreading;
  if (options.emulated_ring0) leaf.ecx &= ~kEmulatorLacksLeaf1Ecx;
}

// Cache levels 1 and 2 belong to one core, higher ones to the package.
void SetCacheSharing(uint32_t vcpus, kvm_cpuid_entry2& leaf) {
  const uint32_t level = leaf.eax >> 5 & 0x7;
  const uint32_t sharing = level >= 3 ? vcpus - 1 : 0;
  leaf.eax = (leaf.eax & 0x3fff) | sharing << 14 | (vcpus - 1) << 26;
}

void SetAmdCacheSharing(uint32_t vcpus, kvm_cpuid_entry2& leaf) {
  const uint32_t level = leaf.eax >> 5 & 0x7;
  leaf.eax = (leaf.eax & 0x3fff) | (level >= 3 ? vcpus - 1 : 0) << 14;
}

void SetTopology(uint32_t vcpu, uint32_t vcpus, kvm_cpuid_entry2& leaf) {
  leaf.eax = leaf.ebx = 0;
  leaf.ecx = leaf.index;  // a level type of 0 ends the list
  leaf.edx = vcpu;
  if (leaf.index == 0) {
    leaf.ebx = 1;
    leaf.ecx |= kThreadLevel << 8;
  } else if (leaf.index == 1) {
    leaf.eax = CoreIdBits(vcpus);
    leaf.ebx = vcpus;
    leaf.ecx |= kCoreLevel << 8;
  }
}

void SetAmdSizes(uint32_t vcpus, kvm_cpuid_entry2& leaf) {
  leaf.ecx = (leaf.ecx & ~0xf0ffu) | CoreIdBits(vcpus) << 12 | (vcpus - 1);
}

void SetAmdTopology(uint32_t vcpu, kvm_cpuid_entry2& leaf) {
  leaf.eax = vcpu;
  leaf.ebx = vcpu;  // one thread a core
  leaf.ecx = 0;     // one node
}

void SetLeaf(uint32_t vcpu, const CpuidOptions& options, kvm_cpuid_entry2& leaf) {
  switch (leaf.function) {
    case kFeatures:
      return SetFeatures(vcpu, options, leaf);
    case kCaches:
      return SetCacheSharing(options.vcpus, leaf);
    case kPower:
      // The timer of the APIC never stops; no turbo, no energy hints.
      leaf.eax &= Bit(2);
      leaf.ebx = 0;
      leaf.ecx = 0;
      return;
    case kExtendedFeatures:
      if (!options.emulated_ring0) return;
      leaf.ebx = leaf.index == 0 ? leaf.ebx & kEmulatorKeepsLeaf7Ebx : 0;
      leaf.eax = leaf.ecx = leaf.edx = 0;
      return;
    case kXsave:
      if (options.emulated_ring0) ClearRegisters(leaf);
      return;
    case kSerialNumber:        // of the host's processor
    case kPerformance:         // no counters: they would show the host's other work
    case kResourceMonitoring:  // the host's caches are not the guest's to divide
    case kResourceAllocation:
      return ClearRegisters(leaf);
    case kTopology:
    case kTopologyV2:
      return SetTopology(vcpu, options.vcpus, leaf);
    case kParavirtual:
      if (options.emulated_ring0) leaf.eax &= ~kEmulatorLacksHypercalls;
      return;
    case kAmdFeatures:
      if (options.emulated_ring0) leaf.ecx &= ~kEmulatorLacksAmdEcx;
      return;
    case kAmdSizes:
      return SetAmdSizes(options.vcpus, leaf);
    case kAmdCaches:
      return SetAmdCacheSharing(options.vcpus, leaf);
    case kAmdTopology:
      return SetAmdTopology(vcpu, leaf);
    default:
      return;
  }
}

bool IsTopology(const kvm_cpuid_entry2& leaf) {
  return leaf.function == kTopology || leaf.function == kTopologyV2;
}

// KVM answers with as many levels as the host has, or with one on some kernels. Ours has two, and
// the one that ends the list.
void AppendTopologyLevels(uint32_t function, kvm::CpuidTable& table) {
  for (uint32_t index = 0; index < 3 && table.count < kvm::kMaxCpuidEntries; ++index) {
    kvm_cpuid_entry2 leaf{};
    leaf.function = function;
    leaf.index = index;
    leaf.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    table.entries[table.count++] = leaf;
  }
}

bool Has(uint32_t function, const kvm::CpuidTable& table) {
  return std::any_of(table.entries, table.entries + table.count,
                     [&](const kvm_cpuid_entry2& leaf) { return leaf.function == function; });
}

}  // namespace

kvm::CpuidTable GuestCpuid(const kvm::CpuidTable& supported, uint32_t vcpu,
                           const CpuidOptions& options) {
  kvm::CpuidTable table;
  for (uint32_t i = 0; i < std::min<size_t>(supported.count, kvm::kMaxCpuidEntries); ++i) {
    if (!IsTopology(supported.entries[i])) table.entries[table.count++] = supported.entries[i];
  }
  if (Has(kTopology, supported)) AppendTopologyLevels(kTopology, table);
  if (Has(kTopologyV2, supported)) AppendTopologyLevels(kTopologyV2, table);
  for (uint32_t i = 0; i < table.count; ++i) SetLeaf(vcpu, options, table.entries[i]);
  return table;
}

}  // namespace msb
