// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

// Sets both limits to `wanted`; where that is more than the caller was allowed itself, and root may
// not raise it (CAP_SYS_RESOURCE, which root does not have everywhere), to as much as that.
absl::Status Limit(int resource, absl::string_view name, rlim_t wanted) {
  rlimit limit{};
  MSB_RETURN_IF_ERROR(
      Syscall(absl::StrCat("getrlimit ", name), [&] { return ::getrlimit(resource, &limit); }));
  const rlimit whole{.rlim_cur = wanted, .rlim_max = wanted};
  if (::setrlimit(resource, &whole) == 0) return absl::OkStatus();
  const rlim_t value = std::min(wanted, limit.rlim_max);
  limit = {.rlim_cur = value, .rlim_max = value};
  return Syscall(absl::StrCat("setrlimit ", name), [&] { return ::setrlimit(resource, &limit); })
      .status();
}

}  // namespace

absl::Status SetRlimits(const Plan& plan) {
  MSB_RETURN_IF_ERROR(Limit(RLIMIT_CORE, "core", 0));  // a core file has the guest's memory in it
  MSB_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, "nofile", plan.nofile));
  return Limit(RLIMIT_FSIZE, "fsize", plan.fsize.value_or(RLIM_INFINITY));
}

}  // namespace msb
