// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <linux/keyctl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::Status StartSession(const Plan& plan) {
  // Out of reach of the daemon's terminal: its Ctrl-C is not for the sandboxes.
  MSB_RETURN_IF_ERROR(Syscall("setsid", [] { return ::setsid(); }));
  // Whoever possesses root's session keyring may read its keys, whatever his uid.
  const auto keyring = Syscall("join a session keyring", [] {
    return ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  });
  // A kernel may have been built without keyrings.
  if (!keyring.ok() && !absl::IsUnimplemented(keyring.status())) return keyring.status();
  // Only now, that this process is in its cgroup: it is the root of what the jail sees.
  MSB_RETURN_IF_ERROR(
      Syscall("unshare the cgroup namespace", [] { return ::unshare(CLONE_NEWCGROUP); }));
  MSB_RETURN_IF_ERROR(
      Syscall("sethostname", [&] { return ::sethostname(plan.id.data(), plan.id.size()); }));
  MSB_RETURN_IF_ERROR(Syscall("setdomainname", [] { return ::setdomainname("", 0); }));
  ::umask(0);  // the modes of what is made from here on are those that stand in the code
  return absl::OkStatus();
}

}  // namespace msb
