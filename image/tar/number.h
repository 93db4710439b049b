// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Numbers as tars write them.

#ifndef MSB_IMAGE_TAR_NUMBER_H_
#define MSB_IMAGE_TAR_NUMBER_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "image/erofs/attributes.h"

namespace msb::image::tar {

// A header's field: octal digits among spaces and NULs (none: 0), or GNU's base 256. nullopt for
// anything else, and beyond 63 bits.
std::optional<int64_t> ParseField(absl::string_view field);

// Decimal digits alone, below 2^63.
std::optional<uint64_t> ParseDecimal(absl::string_view text);

// A pax time: "-1.25" is a quarter before -1. What is beyond nanoseconds is cut.
std::optional<FileTime> ParseTime(absl::string_view text);

}  // namespace msb::image::tar

#endif  // MSB_IMAGE_TAR_NUMBER_H_
