// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::Status ChangeIdentity(const Plan& plan) {
  MSB_RETURN_IF_ERROR(Syscall("setgroups", [] { return ::setgroups(0, nullptr); }));
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("become group ", plan.gid),
                              [&] { return ::setresgid(plan.gid, plan.gid, plan.gid); }));
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("become user ", plan.uid),
                              [&] { return ::setresuid(plan.uid, plan.uid, plan.uid); }));
  // Leaving uid 0 has cleared the permitted and effective sets; the inheritable one goes here.
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  return Syscall("clear the capabilities", [&] { return ::syscall(SYS_capset, &header, none); })
      .status();
}

}  // namespace msb
