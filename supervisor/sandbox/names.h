// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Names for sandboxes whose makers gave them none.

#ifndef MSB_SUPERVISOR_SANDBOX_NAMES_H_
#define MSB_SUPERVISOR_SANDBOX_NAMES_H_

#include <functional>
#include <random>
#include <string>

#include "absl/strings/string_view.h"

namespace msb {

// "quiet-heron", or "quiet-heron-42" once the plain ones are rare: one for which `taken` says
// false.
std::string MakeUpName(std::mt19937& random, const std::function<bool(absl::string_view)>& taken);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_NAMES_H_
