// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::Status LockDown(const Plan&) {
  ::umask(0077);
  MSB_RETURN_IF_ERROR(
      Syscall("set no_new_privs", [] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }));
  // Holds until the exec: that makes a process dumpable again if it may read its executable. The
  // VMM sets it once more at its start.
  return Syscall("forbid tracing", [] { return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }).status();
}

}  // namespace msb
