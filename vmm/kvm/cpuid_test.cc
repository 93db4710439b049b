// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/cpuid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace msb {
namespace {

kvm_cpuid_entry2 Leaf(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
                      uint32_t edx) {
  kvm_cpuid_entry2 leaf{};
  leaf.function = function;
  leaf.index = index;
  leaf.eax = eax;
  leaf.ebx = ebx;
  leaf.ecx = ecx;
  leaf.edx = edx;
  return leaf;
}

constexpr uint32_t kAll = 0xffffffff;

// A host that offers everything it could.
kvm::CpuidTable Host() {
  kvm::CpuidTable table;
  for (const kvm_cpuid_entry2& leaf : {
           Leaf(0x0, 0, 0x20, 0, 0, 0),
           Leaf(0x1, 0, 0x806f8, 0x12345678, kAll & ~(1u << 24), kAll),
           Leaf(0x3, 0, 1, 2, 3, 4),
           Leaf(0x4, 0, 0xfc004121, 1, 2, 3),  // level 1 data
           Leaf(0x4, 1, 0xfc1fc163, 1, 2, 3),  // level 3
           Leaf(0x6, 0, kAll, kAll, kAll, 0),
           Leaf(0x7, 0, 1, kAll, kAll, kAll),
           Leaf(0x7, 1, kAll, kAll, kAll, kAll),
           Leaf(0xa, 0, kAll, kAll, kAll, kAll),
           Leaf(0xb, 0, 1, 2, 0x100, 9),
           Leaf(0xd, 0, kAll, kAll, kAll, kAll),
           Leaf(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
           Leaf(0x40000001, 0, kAll, 0, 0, 0),
           Leaf(0x80000001, 0, 0, 0, kAll, kAll),
           Leaf(0x80000008, 0, 0x3034, 0, kAll, 0),
           Leaf(0x8000001e, 0, kAll, kAll, kAll, 0),
       }) {
    table.entries[table.count++] = leaf;
  }
  return table;
}

const kvm_cpuid_entry2& Find(const kvm::CpuidTable& table, uint32_t function, uint32_t index = 0) {
  const auto* found = std::find_if(
      table.entries, table.entries + table.count,
      [&](const auto& leaf) { return leaf.function == function && leaf.index == index; });
  EXPECT_NE(found, table.entries + table.count) << std::hex << function << "." << index;
  return *found;
}

TEST(CpuidTest, EachProcessorHasItsOwnId) {
  for (const uint32_t vcpu : {0u, 3u, 31u}) {
    const kvm::CpuidTable table = GuestCpuid(Host(), vcpu, {.vcpus = 32});
    EXPECT_EQ(Find(table, 0x1).ebx >> 24, vcpu);
    EXPECT_EQ(Find(table, 0x1).ebx >> 16 & 0xff, 32u);
    EXPECT_EQ(Find(table, 0xb, 0).edx, vcpu);
    EXPECT_EQ(Find(table, 0x8000001e).eax, vcpu);
  }
}

TEST(CpuidTest, TheTopologyIsOnePackageOfSingleThreadedCores) {
  const kvm::CpuidTable table = GuestCpuid(Host(), 1, {.vcpus = 5});
  const kvm_cpuid_entry2& threads = Find(table, 0xb, 0);
  EXPECT_EQ(threads.eax, 0u);
  EXPECT_EQ(threads.ebx, 1u);
  EXPECT_EQ(threads.ecx, 0x100u);
  const kvm_cpuid_entry2& cores = Find(table, 0xb, 1);
  EXPECT_EQ(cores.eax, 3u);  // bits for 5 ids
  EXPECT_EQ(cores.ebx, 5u);
  EXPECT_EQ(cores.ecx, 0x201u);
  const kvm_cpuid_entry2& end = Find(table, 0xb, 2);
  EXPECT_EQ(end.ebx, 0u);
  EXPECT_EQ(end.ecx, 2u);
  EXPECT_EQ(Find(table, 0x80000008).ecx & 0xf0ff, 0x3004u);
}

TEST(CpuidTest, TheLastLevelCacheBelongsToAll) {
  const kvm::CpuidTable table = GuestCpuid(Host(), 0, {.vcpus = 4});
  EXPECT_EQ(Find(table, 0x4, 0).eax, 3u << 26 | 0x121u);
  EXPECT_EQ(Find(table, 0x4, 1).eax, 3u << 26 | 3u << 14 | 0x163u);
}

TEST(CpuidTest, OneProcessorIsNoGroup) {
  const kvm::CpuidTable table = GuestCpuid(Host(), 0, {.vcpus = 1});
  EXPECT_EQ(Find(table, 0x1).edx >> 28 & 1, 0u);
  EXPECT_EQ(Find(table, 0xb, 1).eax, 0u);
  EXPECT_EQ(Find(table, 0xb, 1).ebx, 1u);
  EXPECT_EQ(Find(table, 0x4, 1).eax, 0x163u);
}

TEST(CpuidTest, HardwareGivesWhatItHas) {
  const kvm::CpuidTable table = GuestCpuid(Host(), 0, {.vcpus = 2, .tsc_deadline_timer = true});
  EXPECT_EQ(Find(table, 0x1).ecx, kAll & ~(1u << 3));  // all but MONITOR
  EXPECT_EQ(Find(table, 0x7, 0).ebx, kAll);
  EXPECT_EQ(Find(table, 0x7, 1).eax, kAll);
  EXPECT_EQ(Find(table, 0xd).eax, kAll);
  EXPECT_EQ(Find(table, 0x40000001).eax, kAll);
  EXPECT_EQ(Find(table, 0x6).eax, 1u << 2);
}

TEST(CpuidTest, TheDeadlineTimerIsThereOnlyWhereKvmHasIt) {
  EXPECT_EQ(Find(GuestCpuid(Host(), 0, {}), 0x1).ecx >> 24 & 1, 0u);
  EXPECT_EQ(Find(GuestCpuid(Host(), 0, {.tsc_deadline_timer = true}), 0x1).ecx >> 24 & 1, 1u);
}

TEST(CpuidTest, WhatTheEmulatorLacksIsLeftOut) {
  const kvm::CpuidTable table = GuestCpuid(Host(), 0, {.vcpus = 2, .emulated_ring0 = true});
  const uint32_t features = Find(table, 0x1).ecx;
  for (const unsigned bit : {26u, 27u, 28u, 12u, 17u, 21u})
    EXPECT_EQ(features >> bit & 1, 0u) << bit;
  EXPECT_EQ(features >> 31, 1u);  // still a guest
  EXPECT_EQ(Find(table, 0x7, 0).ebx, 1u << 3 | 1u << 8);
  EXPECT_EQ(Find(table, 0x7, 0).edx, 0u);
  EXPECT_EQ(Find(table, 0x7, 1).eax, 0u);
  EXPECT_EQ(Find(table, 0xd).eax, 0u);
  const uint32_t paravirtual = Find(table, 0x40000001).eax;
  for (const unsigned bit : {7u, 11u, 13u, 16u}) EXPECT_EQ(paravirtual >> bit & 1, 0u) << bit;
  EXPECT_EQ(paravirtual >> 3 & 1, 1u);  // the clock needs no hypercall
}

TEST(CpuidTest, HidesTheHostsSerialNumberAndCounters) {
  const kvm::CpuidTable table = GuestCpuid(Host(), 0, {});
  EXPECT_EQ(Find(table, 0x3).edx, 0u);
  EXPECT_EQ(Find(table, 0xa).eax, 0u);
}

TEST(CpuidTest, AFullTableStaysWithinItsBounds) {
  kvm::CpuidTable full;
  full.count = kvm::kMaxCpuidEntries;
  full.entries[0] = Leaf(0xb, 0, 0, 0, 0, 0);
  for (size_t i = 1; i < kvm::kMaxCpuidEntries; ++i) full.entries[i] = Leaf(0x1000, 0, 0, 0, 0, 0);
  EXPECT_EQ(GuestCpuid(full, 0, {}).count, kvm::kMaxCpuidEntries);
}

}  // namespace
}  // namespace msb
