// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How many descriptors this process may have. What is started is given a soft limit of 1024 nearly
// everywhere, for the sake of programs that use select(); ours do not.

#ifndef MSB_BASE_DESCRIPTOR_LIMIT_H_
#define MSB_BASE_DESCRIPTOR_LIMIT_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace msb {

// Raises the soft limit to the hard one, and returns it. Of the whole process, and of those that it
// starts.
absl::StatusOr<uint64_t> RaiseDescriptorLimit();

}  // namespace msb

#endif  // MSB_BASE_DESCRIPTOR_LIMIT_H_
