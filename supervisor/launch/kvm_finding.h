// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What `msb-vmm --probe-kvm` says about this host's KVM: one line of JSON, a flat object.
//
//   {"kvm":"hardware","loop_ms":0.42,"detail":"1000000 iterations in ring 0"}

#ifndef MSB_SUPERVISOR_LAUNCH_KVM_FINDING_H_
#define MSB_SUPERVISOR_LAUNCH_KVM_FINDING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

enum class KvmState { kHardware, kEmulated, kUnusable };

struct KvmFinding {
  KvmState state = KvmState::kUnusable;
  double loop_ms = 0;  // of the timed loop; 0 when it could not run
  std::string detail;  // a phrase for people
};

// Members that are not known are passed over. kHostError for anything but such a line.
absl::StatusOr<KvmFinding> ParseKvmFinding(absl::string_view json);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_KVM_FINDING_H_
