// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/mp_table.h"

#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "vmm/boot/address_map.h"

namespace msb {
namespace {

// Layouts of MP specification 1.4, sections 4.1 to 4.3. All fields little-endian.
struct [[gnu::packed]] FloatingPointer {
  char signature[4] = {'_', 'M', 'P', '_'};
  uint32_t table_address = 0;
  uint8_t length = 1;  // in units of 16 bytes
  uint8_t revision = 4;
  uint8_t checksum = 0;
  uint8_t features[5] = {};
};
static_assert(sizeof(FloatingPointer) == 16);

struct [[gnu::packed]] TableHeader {
  char signature[4] = {'P', 'C', 'M', 'P'};
  uint16_t length = 0;
  uint8_t revision = 4;
  uint8_t checksum = 0;
  char oem[8] = {'M', 'S', 'B', ' ', ' ', ' ', ' ', ' '};
  char product[12] = {'M', 'I', 'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' '};
  uint32_t oem_table = 0;
  uint16_t oem_table_bytes = 0;
  uint16_t entries = 0;
  uint32_t local_apic = address_map::kLocalApic;
  uint16_t extended_bytes = 0;
  uint8_t extended_checksum = 0;
  uint8_t reserved = 0;
};
static_assert(sizeof(TableHeader) == 44);

struct [[gnu::packed]] ProcessorEntry {
  uint8_t type = 0;
  uint8_t apic_id = 0;
  uint8_t apic_version = 0x14;
  uint8_t flags = 0;           // 1: enabled, 2: the one that starts
  uint32_t signature = 0x600;  // family 6; Linux reads CPUID instead
  uint32_t features = 0x201;   // FPU and APIC, as above
  uint32_t reserved[2] = {};
};
static_assert(sizeof(ProcessorEntry) == 20);

struct [[gnu::packed]] BusEntry {
  uint8_t type = 1;
  uint8_t id = 0;
  char name[6] = {'I', 'S', 'A', ' ', ' ', ' '};
};
static_assert(sizeof(BusEntry) == 8);

struct [[gnu::packed]] IoApicEntry {
  uint8_t type = 2;
  uint8_t id = 0;
  uint8_t version = 0x11;
  uint8_t flags = 1;  // enabled
  uint32_t address = address_map::kIoApic;
};
static_assert(sizeof(IoApicEntry) == 8);

enum class InterruptKind : uint8_t { kVectored = 0, kNmi = 1, kExternal = 3 };

struct [[gnu::packed]] InterruptEntry {
  uint8_t type = 0;  // 3: at an IOAPIC, 4: at the local APICs
  InterruptKind kind = InterruptKind::kVectored;
  uint16_t flags = 0;  // polarity and trigger as is usual on the bus; ISA: high, edge
  uint8_t source_bus = 0;
  uint8_t source_line = 0;
  uint8_t destination_apic = 0;
  uint8_t destination_pin = 0;
};
static_assert(sizeof(InterruptEntry) == 8);

constexpr uint8_t kIoInterrupt = 3;
constexpr uint8_t kLocalInterrupt = 4;
constexpr uint8_t kEveryApic = 0xff;

template <typename T>
void Append(const T& entry, std::string& table) {
  table.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
}

// What makes the bytes add up to 0.
uint8_t Checksum(absl::string_view bytes) {
  uint8_t sum = 0;
  for (const char byte : bytes) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(byte));
  return static_cast<uint8_t>(-sum);
}

std::string Entries(uint32_t vcpus) {
  const uint8_t io_apic_id = static_cast<uint8_t>(vcpus);  // the first free one
  std::string table;
  for (uint32_t i = 0; i < vcpus; ++i) {
    Append(ProcessorEntry{.apic_id = static_cast<uint8_t>(i),
                          .flags = static_cast<uint8_t>(i == 0 ? 3 : 1)},
           table);
  }
  Append(BusEntry{}, table);
  Append(IoApicEntry{.id = io_apic_id}, table);
  for (uint8_t line = 0; line < address_map::kIoApicPins; ++line) {
    Append(InterruptEntry{.type = kIoInterrupt,
                          .source_line = line,
                          .destination_apic = io_apic_id,
                          .destination_pin = line},
           table);
  }
  Append(InterruptEntry{.type = kLocalInterrupt,
                        .kind = InterruptKind::kExternal,
                        .destination_apic = 0,
                        .destination_pin = 0},
         table);
  Append(InterruptEntry{.type = kLocalInterrupt,
                        .kind = InterruptKind::kNmi,
                        .destination_apic = kEveryApic,
                        .destination_pin = 1},
         table);
  return table;
}

}  // namespace

absl::Status WriteMpTable(const GuestMemory& memory, uint32_t vcpus) {
  MSB_CHECK(vcpus >= 1 && vcpus <= kMaxVcpus);
  const std::string entries = Entries(vcpus);
  TableHeader header;
  header.length = static_cast<uint16_t>(sizeof(header) + entries.size());
  // Processors; a bus and an IOAPIC; its pins; two lines of the local APICs.
  header.entries = static_cast<uint16_t>(vcpus + 2 + address_map::kIoApicPins + 2);
  std::string table;
  Append(header, table);
  table += entries;
  table[offsetof(TableHeader, checksum)] = static_cast<char>(Checksum(table));

  FloatingPointer pointer;
  pointer.table_address =
      static_cast<uint32_t>(ToUint64(address_map::kMpTable) + sizeof(FloatingPointer));
  pointer.checksum = Checksum({reinterpret_cast<const char*>(&pointer), sizeof(pointer)});

  const uint64_t bytes = sizeof(pointer) + table.size();
  MSB_CHECK(bytes <= address_map::kMpTableBytes);
  MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> target,
                       memory.Bytes({address_map::kMpTable, bytes}));
  std::memcpy(target.data(), &pointer, sizeof(pointer));
  std::memcpy(target.data() + sizeof(pointer), table.data(), table.size());
  return absl::OkStatus();
}

}  // namespace msb
