// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/error.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace msb {
namespace {

constexpr absl::string_view kPayloadUrl = "type.microsandbox.dev/msb.v1.Reason";

absl::StatusCode CodeOf(Reason reason) {
  switch (reason) {
    case Reason::kUnspecified:
      return absl::StatusCode::kUnknown;
#define MSB_REASON(enumerator, number, name, code) \
  case Reason::enumerator:                         \
    return absl::StatusCode::code;
#include "base/reasons.inc"
#undef MSB_REASON
  }
  return absl::StatusCode::kUnknown;
}

}  // namespace

absl::Status MakeError(Reason reason, absl::string_view detail) {
  absl::Status status(CodeOf(reason), detail);
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(static_cast<int>(reason))));
  return status;
}

absl::Status WithReason(Reason reason, absl::string_view context, const absl::Status& status) {
  return MakeError(reason, absl::StrCat(context, ": ", status.message()));
}

Reason ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  int number = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &number)) return Reason::kUnspecified;
  return ReasonFromNumber(number);
}

absl::string_view ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kUnspecified:
      break;
#define MSB_REASON(enumerator, number, name, code) \
  case Reason::enumerator:                         \
    return #name;
#include "base/reasons.inc"
#undef MSB_REASON
  }
  return "UNSPECIFIED";
}

Reason ReasonFromNumber(int number) {
  switch (number) {
#define MSB_REASON(enumerator, number_, name, code) \
  case number_:                                     \
    return Reason::enumerator;
#include "base/reasons.inc"
#undef MSB_REASON
    default:
      return Reason::kUnspecified;
  }
}

}  // namespace msb
