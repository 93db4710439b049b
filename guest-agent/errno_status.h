// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A Status that remembers the guest's errno beside its reason, so that an Error frame can carry
// both.

#ifndef MSB_GUEST_AGENT_ERRNO_STATUS_H_
#define MSB_GUEST_AGENT_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/error.h"

namespace msb {

// An error of `reason` whose message is `detail` and the text of `error`, an errno value.
absl::Status ErrnoError(Reason reason, absl::string_view detail, int error);

// The errno that ErrnoError was given; 0 for any other status.
int ErrnoOf(const absl::Status& status);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_ERRNO_STATUS_H_
