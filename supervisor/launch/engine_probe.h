// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Finds out which engines this host can run. KVM is measured and not looked for: where ring 0 is
// emulated, the device is there and works, and everything is a thousand times slower.

#ifndef MSB_SUPERVISOR_LAUNCH_ENGINE_PROBE_H_
#define MSB_SUPERVISOR_LAUNCH_ENGINE_PROBE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "supervisor/launch/engine_choice.h"

namespace msb {

struct EngineProbeOptions {
  std::string vmm_path;
  std::string qemu_directory;  // as in LaunchOptions
  // Keeps the measurement for as long as the host's boot, kernel, /dev/kvm and the VMM stay the
  // same; empty: measured each time.
  std::string cache_file;
  // A loop of ring 0 takes 0.4 ms on hardware, and over a second by emulation.
  absl::Duration time_limit = absl::Seconds(20);
};

enum class ProbeCache { kUse, kRefresh };

// Blocks for as long as the measurement takes. Never fails: what went wrong is why an engine cannot
// be used. A measurement that failed is not kept.
EngineFacts ProbeEngines(const EngineProbeOptions& options, ProbeCache cache);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_ENGINE_PROBE_H_
