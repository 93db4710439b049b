// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

// Kernels know 41 today (linux/capability.h); the loop ends at the first that this one does not
// know.
constexpr int kCapabilityBits = 64;

bool IsKept(int capability, const Plan& plan) {
  return std::find(plan.keep_capabilities.begin(), plan.keep_capabilities.end(), capability) !=
         plan.keep_capabilities.end();
}

}  // namespace

absl::Status DropCapabilities(const Plan& plan) {
  MSB_RETURN_IF_ERROR(Syscall("clear the ambient capabilities", [] {
    return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  }));
  for (int capability = 0; capability < kCapabilityBits; ++capability) {
    if (IsKept(capability, plan)) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL && capability > 0) break;
    return absl::ErrnoToStatus(errno, absl::StrCat("drop capability ", capability));
  }
  // Until step 11 has changed the user, and set the securebits behind it.
  return Syscall("keep the permitted capabilities",
                 [] { return ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0); })
      .status();
}

}  // namespace msb
