// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::Status CheckPrivileges(const Plan&) {
  if (::geteuid() == 0) return absl::OkStatus();
  return MakeError(Reason::kPermissionDenied,
                   absl::StrCat("building a jail needs root, this is user ", ::geteuid()));
}

}  // namespace msb
