// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Ids that nobody has given out before, on this host or another.

#ifndef MSB_SUPERVISOR_STORE_IDS_H_
#define MSB_SUPERVISOR_STORE_IDS_H_

#include <string>

namespace msb {

// 20 characters of [0-9a-z] that carry 100 random bits of the kernel.
std::string NewId();

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_IDS_H_
