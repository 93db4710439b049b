// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The state of a saved machine, between KVM's structures and a file (MachineState, state.proto).

#ifndef MSB_VMM_KVM_MACHINE_STATE_H_
#define MSB_VMM_KVM_MACHINE_STATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/vmm/v1/state.pb.h"
#include "vmm/kvm/vcpu_state.h"
#include "vmm/kvm/vm_state.h"

namespace msb {

struct KvmMachineState {
  std::vector<VcpuState> vcpus;  // by id
  VmState vm;
  msb::vmm::v1::SerialState serial;
};

std::string EncodeMachineState(const KvmMachineState& state);
// kStateInvalid for what EncodeMachineState cannot have made: a structure of another size, a table
// of another length than it says.
absl::StatusOr<KvmMachineState> DecodeMachineState(absl::string_view bytes);

}  // namespace msb

#endif  // MSB_VMM_KVM_MACHINE_STATE_H_
