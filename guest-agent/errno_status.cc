// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/errno_status.h"

#include <cstring>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace msb {
namespace {

constexpr absl::string_view kErrnoUrl = "type.microsandbox.dev/guest.errno";

}  // namespace

absl::Status ErrnoError(Reason reason, absl::string_view detail, int error) {
  absl::Status status = MakeError(reason, absl::StrCat(detail, ": ", std::strerror(error)));
  status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(error)));
  return status;
}

int ErrnoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrnoUrl);
  int error = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &error)) return 0;
  return error;
}

}  // namespace msb
