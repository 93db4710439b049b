// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

// capabilities(7), "The securebits flags": uid 0 is nobody special, and no way leads back.
constexpr unsigned long kSecurebits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED;

struct CapabilitySets {
  std::vector<int> usable;       // permitted and effective
  std::vector<int> inheritable;  // and can be made ambient
};

absl::Status SetCapabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  for (int capability : sets.usable) {
    data[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
    data[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
  }
  for (int capability : sets.inheritable) {
    data[CAP_TO_INDEX(capability)].inheritable |= CAP_TO_MASK(capability);
  }
  return Syscall("capset", [&] { return ::syscall(SYS_capset, &header, data); }).status();
}

// Ambient capabilities are the ones that an exec leaves to who is not root (SECBIT_NOROOT).
absl::Status MakeAmbient(const std::vector<int>& capabilities) {
  for (int capability : capabilities) {
    MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("keep capability ", capability), [&] {
      return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    }));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ChangeIdentity(const Plan& plan) {
  MSB_RETURN_IF_ERROR(
      Syscall("setgroups", [&] { return ::setgroups(plan.groups.size(), plan.groups.data()); }));
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("become group ", plan.gid),
                              [&] { return ::setresgid(plan.gid, plan.gid, plan.gid); }));
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("become user ", plan.uid),
                              [&] { return ::setresuid(plan.uid, plan.uid, plan.uid); }));
  // Step 10 has let us keep them so far; the securebits need one of them.
  std::vector<int> usable = plan.keep_capabilities;
  usable.push_back(CAP_SETPCAP);
  MSB_RETURN_IF_ERROR(SetCapabilities({usable, plan.keep_capabilities}));
  MSB_RETURN_IF_ERROR(MakeAmbient(plan.keep_capabilities));
  MSB_RETURN_IF_ERROR(Syscall("set the securebits",
                              [] { return ::prctl(PR_SET_SECUREBITS, kSecurebits, 0, 0, 0); }));
  return SetCapabilities({plan.keep_capabilities, plan.keep_capabilities});
}

}  // namespace msb
