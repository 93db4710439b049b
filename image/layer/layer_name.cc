// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/layer_name.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "image/erofs/format.h"

namespace msb::image {
namespace {

constexpr absl::string_view kWhiteoutPrefix = ".wh.";
constexpr absl::string_view kNotesPrefix = ".wh..wh.";
constexpr absl::string_view kOpaqueName = ".wh..wh..opq";

absl::Status Invalid(absl::string_view what) { return MakeError(Reason::kImageInvalid, what); }

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitLayerName(absl::string_view name,
                                                        uint64_t max_bytes) {
  if (name.size() > max_bytes) {
    return MakeError(
        Reason::kImageTooLarge,
        absl::StrCat("a name of ", name.size(), " bytes; at most ", max_bytes, " are taken"));
  }
  std::vector<std::string> path;
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return Invalid("a name with '..'");
    if (part.size() > erofs::kMaxNameBytes) {
      return MakeError(Reason::kImageTooLarge,
                       absl::StrCat("a part of a name has ", part.size(), " bytes; at most ",
                                    erofs::kMaxNameBytes, " are possible"));
    }
    path.emplace_back(part);
  }
  return path;
}

absl::StatusOr<LayerName> ClassifyLayerName(std::vector<std::string> path) {
  LayerName name;
  const auto is_whiteout = [](const std::string& part) {
    return absl::StartsWith(part, kWhiteoutPrefix);
  };
  const auto first = std::find_if(path.begin(), path.end(), is_whiteout);
  if (first == path.end()) {
    name.path = std::move(path);
    return name;
  }
  const bool last = std::next(first) == path.end();
  if (last && *first == kOpaqueName) {
    name.kind = NameKind::kOpaque;
    path.pop_back();
    name.path = std::move(path);
    return name;
  }
  if (absl::StartsWith(*first, kNotesPrefix)) {
    name.kind = NameKind::kIgnored;
    return name;
  }
  if (!last) return Invalid("an entry below a whiteout");
  std::string hidden = first->substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return Invalid("a whiteout of nothing");
  name.kind = NameKind::kWhiteout;
  path.back() = std::move(hidden);
  name.path = std::move(path);
  return name;
}

}  // namespace msb::image
