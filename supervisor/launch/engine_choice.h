// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which engine runs a sandbox, and why. Pure: the facts come from EngineProbe.

#ifndef MSB_SUPERVISOR_LAUNCH_ENGINE_CHOICE_H_
#define MSB_SUPERVISOR_LAUNCH_ENGINE_CHOICE_H_

#include <string>

#include "absl/status/statusor.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "supervisor/launch/kvm_finding.h"
#include "supervisor/launch/launch_options.h"

namespace msb {

struct EngineFacts {
  KvmFinding kvm;
  std::string qemu_problem;  // why the engine qemu cannot run; empty: it can
};

enum class EnginePreference { kAuto, kKvm, kQemu };

struct EngineChoice {
  msb::vmm::v1::Engine engine = msb::vmm::v1::ENGINE_UNSPECIFIED;
  std::string explanation;  // one sentence, for `doctor` and `inspect`
};

// kAuto: KVM where the hardware runs the guest, else QEMU, else KVM where it works at all.
// kKvmUnavailable or kQemuUnavailable when what is asked for cannot run, or nothing can.
absl::StatusOr<EngineChoice> ChooseEngine(const EngineFacts& facts, EnginePreference preference);

// For LaunchOptions.
KvmKind KvmKindOf(const KvmFinding& finding);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_ENGINE_CHOICE_H_
