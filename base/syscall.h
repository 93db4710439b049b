// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The seam between a system call's errno and a Status.
//
// Not for close (never retried), posix_spawn (returns the error number) or KVM_RUN (EINTR and
// EAGAIN are answers there).

#ifndef MSB_BASE_SYSCALL_H_
#define MSB_BASE_SYSCALL_H_

#include <cerrno>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

// Runs `call`, which returns -1 and sets errno on failure, again for as long as a signal interrupts
// it. `name` begins the error's message: "open /dev/kvm".
template <typename Fn>
auto Syscall(absl::string_view name, Fn call) -> absl::StatusOr<decltype(call())> {
  while (true) {
    const auto result = call();
    if (result != -1) return result;
    if (errno != EINTR) return absl::ErrnoToStatus(errno, name);
  }
}

}  // namespace msb

#endif  // MSB_BASE_SYSCALL_H_
