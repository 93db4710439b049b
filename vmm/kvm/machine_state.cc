// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/machine_state.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

absl::Status Invalid(absl::string_view field, size_t bytes) {
  return MakeError(Reason::kStateInvalid,
                   absl::StrCat("machine state: ", field, " of ", bytes, " bytes"));
}

template <typename T>
std::string BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
absl::Status Take(absl::string_view field, absl::string_view bytes, T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (bytes.size() != sizeof(T)) return Invalid(field, bytes.size());
  std::memcpy(&value, bytes.data(), sizeof(T));
  return absl::OkStatus();
}

// Of a kvm::CpuidTable or MsrTable: the header and the entries that count.
template <typename Table>
std::string BytesOfTable(const Table& table) {
  return BytesOf(table).substr(0, offsetof(Table, entries) + table.count * sizeof(*table.entries));
}

template <typename Table>
absl::Status TakeTable(absl::string_view field, absl::string_view bytes, Table& table) {
  constexpr size_t kHeader = offsetof(Table, entries);
  if (bytes.size() < kHeader || bytes.size() > sizeof(Table)) return Invalid(field, bytes.size());
  std::memcpy(&table, bytes.data(), bytes.size());
  const size_t entries = bytes.size() - kHeader;
  if (table.count > std::size(table.entries) || table.count * sizeof(*table.entries) != entries) {
    return Invalid(field, bytes.size());
  }
  return absl::OkStatus();
}

msb::vmm::v1::VcpuState ToProto(const VcpuState& state) {
  msb::vmm::v1::VcpuState message;
  message.set_cpuid(BytesOfTable(state.cpuid));
  message.set_mp_state(BytesOf(state.mp_state));
  message.set_registers(BytesOf(state.registers));
  message.set_special_registers(BytesOf(state.special_registers));
  message.set_xsave(BytesOf(state.xsave));
  message.set_extended_control(BytesOf(state.extended_control));
  message.set_debug_registers(BytesOf(state.debug_registers));
  message.set_local_apic(BytesOf(state.local_apic));
  message.set_msrs(BytesOfTable(state.msrs));
  message.set_events(BytesOf(state.events));
  return message;
}

absl::StatusOr<VcpuState> FromProto(const msb::vmm::v1::VcpuState& message) {
  VcpuState state;
  MSB_RETURN_IF_ERROR(TakeTable("cpuid", message.cpuid(), state.cpuid));
  MSB_RETURN_IF_ERROR(Take("mp_state", message.mp_state(), state.mp_state));
  MSB_RETURN_IF_ERROR(Take("registers", message.registers(), state.registers));
  MSB_RETURN_IF_ERROR(
      Take("special_registers", message.special_registers(), state.special_registers));
  MSB_RETURN_IF_ERROR(Take("xsave", message.xsave(), state.xsave));
  MSB_RETURN_IF_ERROR(Take("extended_control", message.extended_control(), state.extended_control));
  MSB_RETURN_IF_ERROR(Take("debug_registers", message.debug_registers(), state.debug_registers));
  MSB_RETURN_IF_ERROR(Take("local_apic", message.local_apic(), state.local_apic));
  MSB_RETURN_IF_ERROR(TakeTable("msrs", message.msrs(), state.msrs));
  MSB_RETURN_IF_ERROR(Take("events", message.events(), state.events));
  return state;
}

absl::StatusOr<VmState> VmFromProto(const msb::vmm::v1::MachineState& message) {
  VmState state;
  MSB_RETURN_IF_ERROR(Take("timer", message.timer(), state.timer));
  MSB_RETURN_IF_ERROR(Take("clock", message.clock(), state.clock));
  if (message.interrupt_controllers_size() != static_cast<int>(std::size(state.controllers))) {
    return MakeError(Reason::kStateInvalid,
                     absl::StrCat("machine state: ", message.interrupt_controllers_size(),
                                  " interrupt controllers"));
  }
  for (int i = 0; i < message.interrupt_controllers_size(); ++i) {
    MSB_RETURN_IF_ERROR(
        Take("interrupt_controllers", message.interrupt_controllers(i), state.controllers[i]));
  }
  return state;
}

}  // namespace

std::string EncodeMachineState(const KvmMachineState& state) {
  msb::vmm::v1::MachineState message;
  for (const VcpuState& vcpu : state.vcpus) *message.add_vcpus() = ToProto(vcpu);
  message.set_timer(BytesOf(state.vm.timer));
  message.set_clock(BytesOf(state.vm.clock));
  for (const kvm_irqchip& chip : state.vm.controllers) {
    message.add_interrupt_controllers(BytesOf(chip));
  }
  *message.mutable_serial() = state.serial;
  return message.SerializeAsString();
}

absl::StatusOr<KvmMachineState> DecodeMachineState(absl::string_view bytes) {
  msb::vmm::v1::MachineState message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return MakeError(Reason::kStateInvalid, "machine state: no MachineState");
  }
  KvmMachineState state;
  for (const msb::vmm::v1::VcpuState& vcpu : message.vcpus()) {
    MSB_ASSIGN_OR_RETURN(VcpuState decoded, FromProto(vcpu));
    state.vcpus.push_back(std::move(decoded));
  }
  MSB_ASSIGN_OR_RETURN(state.vm, VmFromProto(message));
  state.serial = message.serial();
  return state;
}

}  // namespace msb
