// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/version.h"

#include "base/version_stamp.h"

namespace msb {

absl::string_view Version() { return MSB_VERSION_STAMP; }

}  // namespace msb
