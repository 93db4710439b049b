// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The steps of a jail, in the order they run (kSources apart). A failed step ends the jailer with
// kExitBase plus the step's number; the numbers are part of its interface (README.md) and never
// reused.

#ifndef MSB_JAILER_STEP_H_
#define MSB_JAILER_STEP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace msb {

enum class Step : int {
  kPlan = 0,
  kPrivileges = 1,
  kDescriptors = 2,
  kCgroup = 3,
  kNamespaces = 4,
  kSession = 5,
  kRoot = 6,
  kMounts = 7,
  kPivot = 8,
  kRlimits = 9,
  kCapabilities = 10,
  kIdentity = 11,
  kLockdown = 12,
  kExec = 13,
  kSources = 14,  // between kRoot and kMounts
};

inline constexpr int kExitBase = 64;
inline constexpr int kStepCount = 15;

constexpr int ExitCodeOf(Step step) { return kExitBase + static_cast<int>(step); }

// "mounts".
absl::string_view NameOf(Step step);

// "msb-jailer: step 7 (mounts): bind /a on /b: No such file or directory; check that ...", without
// a line's end. The last part says who can mend it and how.
std::string FailureLine(Step step, const absl::Status& status);

}  // namespace msb

#endif  // MSB_JAILER_STEP_H_
