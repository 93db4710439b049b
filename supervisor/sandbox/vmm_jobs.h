// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The steps of a sandbox's life that block: they run on a worker and touch nothing but their
// arguments.

#ifndef MSB_SUPERVISOR_SANDBOX_VMM_JOBS_H_
#define MSB_SUPERVISOR_SANDBOX_VMM_JOBS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "msb/vmm/v1/control.pb.h"
#include "supervisor/sandbox/boot_snapshots.h"
#include "supervisor/sandbox/context.h"
#include "supervisor/sandbox/image_config.h"
#include "supervisor/sandbox/secrets.h"
#include "supervisor/store/sandbox_record.h"

namespace msb {

// Makes the sandbox's folder and disk, after a look at whether its image and what it mounts of the
// host are there.
absl::Status MakeSandboxFiles(const SandboxContext& context, const SandboxRecord& record);

struct LaunchOutcome {
  LaunchedVmm vmm;
  EngineChoice engine;
  ImageConfig image;
  std::vector<uint32_t> bound_ports;  // in the order of the specification
  MachineShape shape;
  bool from_snapshot = false;
};
enum class Leftovers { kNone, kClearFirst };
// Chooses the engine, looks at the assets, starts the VMM.
absl::StatusOr<LaunchOutcome> LaunchVmm(const SandboxContext& context, const SandboxRecord& record,
                                        const SecretValues& secrets, Leftovers leftovers);

// What is known of how a VMM ended.
struct VmmEnd {
  bool oom_killed = false;
  std::optional<int> wait_status;
  std::optional<msb::vmm::v1::VmEvent> exit_event;
  absl::Status clean_up;
};
// Kills what is left of the VMM and removes all that Launch made, but the logs.
VmmEnd ClearUpVmm(Launcher& launcher, const LaunchPlan& plan);

// Clears up, deletes logs, disk and folder.
absl::Status RemoveSandboxFiles(const SandboxContext& context, const SandboxRecord& record);

// How a run ended: the state that it leaves and why.
struct EndVerdict {
  bool failed = false;
  Reason reason = Reason::kUnspecified;
  std::string detail;
};
// Of an end that nobody asked for.
EndVerdict JudgeEnd(const VmmEnd& end);
// Whether a machine that ended so, before its agent had said a word, may come up without the boot
// snapshot that it went on from. Not what the host lacked, nor time.
bool MayBeTheSnapshots(const EndVerdict& verdict);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_VMM_JOBS_H_
