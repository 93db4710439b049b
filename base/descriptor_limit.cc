// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/descriptor_limit.h"

#include <sys/resource.h>

#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {

absl::StatusOr<uint64_t> RaiseDescriptorLimit() {
  rlimit limit{};
  MSB_RETURN_IF_ERROR(Syscall("getrlimit", [&] { return ::getrlimit(RLIMIT_NOFILE, &limit); }));
  limit.rlim_cur = limit.rlim_max;
  MSB_RETURN_IF_ERROR(Syscall("setrlimit", [&] { return ::setrlimit(RLIMIT_NOFILE, &limit); }));
  return limit.rlim_max;
}

}  // namespace msb
