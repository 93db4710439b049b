// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What somebody may have meant.

#ifndef MSB_SDKS_MSBCTL_SUGGESTION_H_
#define MSB_SDKS_MSBCTL_SUGGESTION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace msb {

// The one of `known` that `word` is a slip of: few letters wrong, missing or changed round. Empty
// when none is near.
std::string Nearest(absl::string_view word, const std::vector<std::string>& known);

// The command of ours that does what `word` does elsewhere ("list" of E2B, "unpause" of Docker), or
// empty.
std::string OursFor(absl::string_view word);

// What to do about an error whose message does not say it itself; empty when there is nothing.
std::string NextStep(const absl::Status& status);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_SUGGESTION_H_
