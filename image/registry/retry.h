// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whether a failure is worth another attempt, and when. Travels with the Status.

#ifndef MSB_IMAGE_REGISTRY_RETRY_H_
#define MSB_IMAGE_REGISTRY_RETRY_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace msb::image {

// `status` as one that may pass: a broken connection, a server that is overloaded.
absl::Status Transient(absl::Status status);
// The same, with the time that the server asked for.
absl::Status TransientAfter(absl::Status status, absl::Duration delay);
bool IsTransient(const absl::Status& status);

// How long to wait before attempt number `attempt` (the first retry is 1): what the server asked
// for, or twice as long as before, with some chance in it so that many clients do not come back at
// once. nullopt when no further attempt makes sense: the failure stays, or the server's delay is
// longer than anybody waits for.
std::optional<absl::Duration> RetryDelay(const absl::Status& status, uint64_t attempt);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_RETRY_H_
