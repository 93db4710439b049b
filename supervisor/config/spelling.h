// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// "Did you mean": the known word that a mistyped one is nearest to.

#ifndef MSB_SUPERVISOR_CONFIG_SPELLING_H_
#define MSB_SUPERVISOR_CONFIG_SPELLING_H_

#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace msb {

// nullopt when none is within a third of the word's length, rounded up, in edits.
std::optional<absl::string_view> NearestWord(absl::string_view word,
                                             absl::Span<const absl::string_view> known);

}  // namespace msb

#endif  // MSB_SUPERVISOR_CONFIG_SPELLING_H_
