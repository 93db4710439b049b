// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A virtual machine, whichever engine runs it. Implemented by KvmMachine (vmm/kvm) and QemuMachine
// (vmm/qemu).
//
// Threading: every call and every callback on the VMM's event loop.

#ifndef MSB_VMM_MACHINE_MACHINE_H_
#define MSB_VMM_MACHINE_MACHINE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/control.pb.h"

namespace msb {

// What the engines tell the process around them.
class MachineObserver {
 public:
  virtual ~MachineObserver() = default;
  // Everything is built; the next thing is the guest's first instruction.
  virtual void OnMachineReady() = 0;
  // The machine has ended by itself; `why` carries a Reason, kGuestShutdown for an orderly end.
  // Called once, and not after Stop.
  virtual void OnEnded(absl::Status why) = 0;
};

// A saved machine (BootSnapshot, vm_spec.proto).
struct BootSnapshotFiles {
  UniqueFd memory;
  UniqueFd state;
};

class Machine {
 public:
  using Done = std::function<void(absl::Status)>;
  virtual ~Machine() = default;

  // Builds the machine and lets it run.
  virtual absl::Status Start() = 0;
  // `done` when no instruction of the guest runs any more. Of a paused machine: succeeds.
  virtual void Pause(Done done) = 0;
  virtual void Resume(Done done) = 0;
  // Of a machine that was made to be saved, and runs: stops it for good and writes what it is.
  virtual void SaveBootSnapshot(Done done) = 0;
  // Ends the machine at once; returns when nothing of it runs.
  virtual void Stop() = 0;

  // kUnsupportedByEngine where there is no balloon.
  virtual absl::Status SetBalloon(uint32_t mib) = 0;
  virtual msb::vmm::v1::Stats stats() const = 0;
};

}  // namespace msb

#endif  // MSB_VMM_MACHINE_MACHINE_H_
