// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For the files of the table alone: the sections that have one of their own, and what they share.

#ifndef MSB_SUPERVISOR_CONFIG_SECTIONS_H_
#define MSB_SUPERVISOR_CONFIG_SECTIONS_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "supervisor/config/settings.h"

namespace msb {

// Accessors instead of pointers to members: the fields are two levels deep.
#define MSB_FIELD(path) \
  [](Config & config) -> auto& { return config.path; }

inline constexpr uint32_t kMaxMemoryMib = 1u << 20;  // what a VmSpec can carry
inline constexpr absl::Duration kLongest = absl::Hours(24 * 365);

std::vector<Setting> ImageSettings();  // [images]

}  // namespace msb

#endif  // MSB_SUPERVISOR_CONFIG_SECTIONS_H_
