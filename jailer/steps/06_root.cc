// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/mount.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

// Room for mount points and nothing else.
constexpr const char* kRootOptions = "size=4k,nr_inodes=64,mode=0555";

}  // namespace

absl::Status MountRoot(const Plan& plan) {
  // First of all: nothing that is mounted or unmounted here may reach the host.
  MSB_RETURN_IF_ERROR(Syscall("make all mounts private", [] {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  }));
  return Syscall(absl::StrCat("mount a tmpfs on ", plan.root),
                 [&] {
                   return ::mount("jail", plan.root.c_str(), "tmpfs",
                                  MS_NOSUID | MS_NODEV | MS_NOEXEC, kRootOptions);
                 })
      .status();
}

}  // namespace msb
