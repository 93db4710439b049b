// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/users/thread_identity.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr long kUnchanged = -1;

void ReturnToRoot() {
  MSB_CHECK(::syscall(SYS_setresuid, kUnchanged, 0, kUnchanged) == 0);
  MSB_CHECK(::syscall(SYS_setresgid, kUnchanged, 0, kUnchanged) == 0);
  MSB_CHECK(::syscall(SYS_setgroups, 0, nullptr) == 0);
}

}  // namespace

ThreadIdentity::~ThreadIdentity() {
  if (changed_) ReturnToRoot();
}

absl::Status ThreadIdentity::Take(const Identity& identity) {
  if (identity.uid == 0 && identity.gid == 0 && identity.groups.empty()) return absl::OkStatus();
  changed_ = true;
  // The user last: it takes the right to change the others.
  if (::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) != 0 ||
      ::syscall(SYS_setresgid, kUnchanged, identity.gid, kUnchanged) != 0 ||
      ::syscall(SYS_setresuid, kUnchanged, identity.uid, kUnchanged) != 0) {
    const int error = errno;
    ReturnToRoot();
    changed_ = false;
    return ErrnoError(Reason::kFilePermissionDenied, "take the user's identity", error);
  }
  return absl::OkStatus();
}

}  // namespace msb
