// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whether KVM runs a guest's ring 0 on the processor or in its instruction emulator: measured,
// since the presence of /dev/kvm does not tell.

#ifndef MSB_VMM_KVM_RING0_SPEED_H_
#define MSB_VMM_KVM_RING0_SPEED_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace msb {

// Iterations of a loop of two instructions.
inline constexpr uint32_t kRing0LoopIterations = 1'000'000;
// A processor needs 0.3 to 0.5 ms for them, nested or not; the emulator about a second.
inline constexpr absl::Duration kSlowestHardwareLoop = absl::Milliseconds(30);
// The loop is cut off here and its whole time projected from how far it came, in time of its thread
// alone. A host so busy that it has hardly begun gives it more, up to 20 times as much.
inline constexpr absl::Duration kDefaultRing0Limit = absl::Milliseconds(100);

struct Ring0Speed {
  absl::Duration loop;      // measured, or projected
  uint32_t iterations = 0;  // that were run
  bool emulated() const { return loop > kSlowestHardwareLoop; }
};

// Runs the loop in a VM of its own. An error says why KVM cannot be used here.
absl::StatusOr<Ring0Speed> MeasureRing0Speed(UniqueFd kvm_device,
                                             absl::Duration limit = kDefaultRing0Limit);

// The answer to `msb-vmm --probe-kvm`, without newline:
//   {"kvm":"hardware","loop_ms":0.412,"detail":"..."}
// kvm is hardware, emulated or unusable; loop_ms is 0 where it is unusable. `detail` is for people.
std::string Ring0SpeedAsJson(const absl::StatusOr<Ring0Speed>& speed);

}  // namespace msb

#endif  // MSB_VMM_KVM_RING0_SPEED_H_
