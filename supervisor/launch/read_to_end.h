// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a program that we started writes to a pipe.

#ifndef MSB_SUPERVISOR_LAUNCH_READ_TO_END_H_
#define MSB_SUPERVISOR_LAUNCH_READ_TO_END_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace msb {

struct ReadBounds {
  size_t max_bytes = 0;
  absl::Time deadline;
};

// Reads until all who can write have closed, or `max_bytes` are there. kDeadlineExceeded (no
// reason) when that takes longer.
absl::StatusOr<std::string> ReadToEnd(const UniqueFd& fd, const ReadBounds& bounds);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_READ_TO_END_H_
