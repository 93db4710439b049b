// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Waits for a descriptor to become ready, for those who block.

#ifndef MSB_BASE_WAIT_FOR_H_
#define MSB_BASE_WAIT_FOR_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace msb {

// Until one of `events` (POLLIN, POLLOUT) is ready on `fd`, or it has ended. kDeadlineExceeded (no
// reason) when `deadline` passes before.
absl::Status WaitFor(int fd, short events, absl::Time deadline);

}  // namespace msb

#endif  // MSB_BASE_WAIT_FOR_H_
