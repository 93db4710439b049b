// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A Status that says why in a word of a closed catalogue.
//
// The reason travels as a payload of the Status, over every border: frames carry it as a number,
// gRPC as the trailing metadatum `msb-reason` (docs/errors.md).

#ifndef MSB_BASE_ERROR_H_
#define MSB_BASE_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace msb {

enum class Reason : int {
  kUnspecified = 0,
#define MSB_REASON(enumerator, number, name, code) enumerator = number,
#include "base/reasons.inc"
#undef MSB_REASON
};

// An error with the canonical code of `reason`. `detail` is a sentence for a person, without a
// final stop: what happened and, where somebody can mend it, how.
absl::Status MakeError(Reason reason, absl::string_view detail);

// `status` with `reason` and its own message behind `context`; for a host's error (an errno) that
// deserves a place in the catalogue. The canonical code becomes that of the reason.
absl::Status WithReason(Reason reason, absl::string_view context, const absl::Status& status);

// kUnspecified when `status` is OK or carries none.
Reason ReasonOf(const absl::Status& status);

// "SANDBOX_NOT_FOUND"; "UNSPECIFIED" for a number outside the catalogue.
absl::string_view ReasonName(Reason reason);

// kUnspecified for a number that another version may know and this one does not.
Reason ReasonFromNumber(int number);

}  // namespace msb

#endif  // MSB_BASE_ERROR_H_
