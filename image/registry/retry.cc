// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/retry.h"

#include <algorithm>

#include "absl/random/random.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace msb::image {
namespace {

// The payload: milliseconds that the server asked for, or nothing.
constexpr char kTransientPayload[] = "msb.image/transient";
constexpr absl::Duration kFirstDelay = absl::Milliseconds(250);
constexpr absl::Duration kLongestDelay = absl::Seconds(8);
constexpr absl::Duration kLongestServerDelay = absl::Minutes(1);

}  // namespace

absl::Status Transient(absl::Status status) {
  status.SetPayload(kTransientPayload, absl::Cord());
  return status;
}

absl::Status TransientAfter(absl::Status status, absl::Duration delay) {
  status.SetPayload(kTransientPayload, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

bool IsTransient(const absl::Status& status) {
  return status.GetPayload(kTransientPayload).has_value();
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status, uint64_t attempt) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kTransientPayload);
  if (!payload.has_value()) return std::nullopt;
  int64_t asked_ms = 0;
  if (absl::SimpleAtoi(std::string(*payload), &asked_ms)) {
    const absl::Duration asked = absl::Milliseconds(asked_ms);
    if (asked > kLongestServerDelay) return std::nullopt;
    return asked;
  }
  absl::Duration delay = kFirstDelay;
  for (uint64_t i = 1; i < attempt && delay < kLongestDelay; ++i) delay *= 2;
  absl::BitGen random;
  return std::min(delay, kLongestDelay) * absl::Uniform(random, 0.5, 1.0);
}

}  // namespace msb::image
