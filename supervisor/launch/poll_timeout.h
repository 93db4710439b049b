// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_SUPERVISOR_LAUNCH_POLL_TIMEOUT_H_
#define MSB_SUPERVISOR_LAUNCH_POLL_TIMEOUT_H_

#include <algorithm>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace msb {

// What is left until `deadline` as poll(2) takes it: 0 when it has passed, at most an hour (the
// caller loops). Rounded up, so that the last millisecond is waited for and not spun through.
inline int PollTimeoutMs(absl::Time deadline) {
  constexpr absl::Duration kLongest = absl::Hours(1);
  const absl::Duration left = std::clamp(deadline - absl::Now(), absl::ZeroDuration(), kLongest);
  return static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))));
}

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_POLL_TIMEOUT_H_
