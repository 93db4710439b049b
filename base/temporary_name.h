// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A name for a file that is not whole yet, and takes its own name when it is.

#ifndef MSB_BASE_TEMPORARY_NAME_H_
#define MSB_BASE_TEMPORARY_NAME_H_

#include <string>

namespace msb {

// ".msb-" and 64 random bits.
std::string TemporaryName();

}  // namespace msb

#endif  // MSB_BASE_TEMPORARY_NAME_H_
