// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which build this is.

#ifndef MSB_BASE_VERSION_H_
#define MSB_BASE_VERSION_H_

#include "absl/strings/string_view.h"

namespace msb {

// "0.1.0 (4f2c1e9)", or "0.1.0" when built outside a git checkout.
absl::string_view Version();

}  // namespace msb

#endif  // MSB_BASE_VERSION_H_
