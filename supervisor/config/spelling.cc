// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/config/spelling.h"

#include <algorithm>
#include <numeric>

namespace msb {
namespace {

constexpr size_t kLongestWord = 64;  // of the known ones; a longer word is no misspelling of any

// Levenshtein's distance, one row at a time.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<absl::string_view> NearestWord(absl::string_view word,
                                             absl::Span<const absl::string_view> known) {
  if (word.size() > kLongestWord) return std::nullopt;
  std::optional<absl::string_view> nearest;
  size_t least = (word.size() + 2) / 3 + 1;
  for (const absl::string_view candidate : known) {
    const size_t distance = EditDistance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace msb
