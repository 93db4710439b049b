// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::Status PivotRoot(const Plan& plan) {
  MSB_RETURN_IF_ERROR(Syscall("chdir to the new root", [&] { return ::chdir(plan.root.c_str()); }));
  // With "." for both, the old root is stacked upon the new one (pivot_root(2), NOTES), and needs
  // no mount point of its own.
  MSB_RETURN_IF_ERROR(Syscall("pivot_root", [] { return ::syscall(SYS_pivot_root, ".", "."); }));
  MSB_RETURN_IF_ERROR(Syscall("unmount the old root", [] { return ::umount2(".", MNT_DETACH); }));
  MSB_RETURN_IF_ERROR(Syscall("chdir to /", [] { return ::chdir("/"); }));
  return Syscall("make the root read-only",
                 [] {
                   return ::mount(
                       nullptr, "/", nullptr,
                       MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                       nullptr);
                 })
      .status();
}

}  // namespace msb
