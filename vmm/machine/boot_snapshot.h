// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What VMM and agent have agreed on about boot snapshots (docs/boot-snapshots.md), beside
// BootConfiguration.

#ifndef MSB_VMM_MACHINE_BOOT_SNAPSHOT_H_
#define MSB_VMM_MACHINE_BOOT_SNAPSHOT_H_

#include <cstddef>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace msb {

// On the kernel's command line: the agent is to wait for devices (guest-agent/boot/parameters.h).
inline constexpr absl::string_view kWaitForDevicesWord = "msb.parameters=host";

// Finds the agent's word that it waits (guest-agent/boot/boot_snapshot.cc) in the console's output,
// in whatever pieces that comes.
class WaitingAgentDetector {
 public:
  // True once, with the last piece of it.
  bool Sees(absl::string_view bytes) {
    if (seen_) return false;
    tail_.append(bytes.data(), bytes.size());
    seen_ = absl::StrContains(tail_, kLine);
    if (tail_.size() >= kLine.size()) tail_.erase(0, tail_.size() - kLine.size() + 1);
    return seen_;
  }

 private:
  static constexpr absl::string_view kLine = "msb-agent: waits for its devices";
  std::string tail_;
  bool seen_ = false;
};

}  // namespace msb

#endif  // MSB_VMM_MACHINE_BOOT_SNAPSHOT_H_
