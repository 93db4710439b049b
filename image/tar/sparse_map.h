// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The map of a sparse file: old GNU, and GNU in pax as 0.0, 0.1 and 1.0 (GNU tar's manual, "Storing
// Sparse Files").

#ifndef MSB_IMAGE_TAR_SPARSE_MAP_H_
#define MSB_IMAGE_TAR_SPARSE_MAP_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "image/erofs/erofs_writer.h"

namespace msb::image::tar {

// Of one file, in any of the forms.
inline constexpr size_t kMaxExtents = size_t{1} << 20;

// Old GNU: up to `count` entries at the beginning of `bytes`; the first empty one is the end. False
// when one is no pair of numbers.
bool AppendOldEntries(absl::string_view bytes, size_t count, std::vector<Extent>& extents);

// pax 0.1, and what 0.0 comes to: "offset,bytes,offset,bytes,...". nullopt when it is not that.
std::optional<std::vector<Extent>> ParsePairs(absl::string_view text);

// Whether `extents` are in order, do not overlap, end within `size` and have `stored` bytes in all.
bool IsSparseMap(absl::Span<const Extent> extents, uint64_t size, uint64_t stored);

}  // namespace msb::image::tar

#endif  // MSB_IMAGE_TAR_SPARSE_MAP_H_
