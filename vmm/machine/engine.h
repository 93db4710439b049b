// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// From a spec's engine to the Machine that implements it.

#ifndef MSB_VMM_MACHINE_ENGINE_H_
#define MSB_VMM_MACHINE_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "jailer/policy/filter.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/machine.h"

namespace msb {

// What every engine is given beside the spec.
struct EngineParts {
  UniqueFd kernel;
  UniqueFd initramfs;
  UniqueFd kvm;            // engine kvm
  BootSnapshotFiles save;  // as the spec says
  BootSnapshotFiles restore;
  DeviceSet* devices = nullptr;  // outlives the machine
  Seccomp seccomp = Seccomp::kInForce;
  std::function<void(absl::string_view)> console;
  std::function<void(uint8_t stage)> boot_mark;  // engine kvm
  std::function<bool()> shutdown_announced;
};

// `spec` has passed ValidateSpec. `loop` and `observer` outlive the machine.
std::unique_ptr<Machine> MakeMachine(EventLoop& loop, MachineObserver& observer,
                                     const msb::vmm::v1::VmSpec& spec, EngineParts parts);

}  // namespace msb

#endif  // MSB_VMM_MACHINE_ENGINE_H_
