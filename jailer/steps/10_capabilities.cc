// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <linux/securebits.h>
#include <sys/prctl.h>

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

// capabilities(7), "The securebits flags": uid 0 is nobody special, and no way leads back.
constexpr unsigned long kSecurebits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED;

}  // namespace

absl::Status DropCapabilities(const Plan&) {
  MSB_RETURN_IF_ERROR(Syscall("clear the ambient capabilities", [] {
    return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  }));
  for (int capability = 0; capability < kCapabilityBits; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL && capability > 0) break;
    return absl::ErrnoToStatus(errno, absl::StrCat("drop capability ", capability));
  }
  return Syscall("set the securebits",
                 [] { return ::prctl(PR_SET_SECUREBITS, kSecurebits, 0, 0, 0); })
      .status();
}

}  // namespace msb
