// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/cgroup_layout.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "supervisor/launch/host_file.h"

namespace msb {
namespace {

constexpr absl::string_view kControllers[] = {"memory", "cpu", "cpuacct", "pids"};
constexpr absl::string_view kNeeded[] = {"memory", "cpu", "pids"};

std::vector<std::string> OursAmong(const std::vector<absl::string_view>& words) {
  std::vector<std::string> ours;
  for (absl::string_view controller : kControllers) {
    if (std::find(words.begin(), words.end(), controller) != words.end()) {
      ours.emplace_back(controller);
    }
  }
  return ours;
}

// proc_pid_mountinfo(5): blanks and backslashes of a path are octal escapes.
std::string Unescape(absl::string_view path) {
  std::string plain;
  for (size_t i = 0; i < path.size(); ++i) {
    const absl::string_view digits = path.substr(i + 1 < path.size() ? i + 1 : i, 3);
    const bool octal =
        path[i] == '\\' && digits.size() == 3 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '7'; });
    if (!octal) {
      plain.push_back(path[i]);
      continue;
    }
    plain.push_back(
        static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0')));
    i += 3;
  }
  return plain;
}

// "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory"
struct Mount {
  std::string root;
  std::string point;
  std::string type;
  std::vector<absl::string_view> super_options;
};

std::optional<Mount> ParseMount(absl::string_view line) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  const std::vector<absl::string_view> left = absl::StrSplit(halves.first, ' ');
  const std::vector<absl::string_view> right = absl::StrSplit(halves.second, ' ');
  if (left.size() < 6 || right.size() < 3) return std::nullopt;
  return Mount{std::string(left[3]), Unescape(left[4]), std::string(right[0]),
               absl::StrSplit(right[2], ',')};
}

bool HasV1With(const CgroupLayout& layout, const std::vector<std::string>& controllers) {
  return layout.WithController(controllers.front()) != nullptr;
}

}  // namespace

const CgroupHierarchy* CgroupLayout::WithController(absl::string_view controller) const {
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    const auto& bound = hierarchy.controllers;
    if (std::find(bound.begin(), bound.end(), controller) != bound.end()) return &hierarchy;
  }
  return nullptr;
}

const CgroupHierarchy* CgroupLayout::V2() const {
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    if (hierarchy.version == CgroupVersion::kV2) return &hierarchy;
  }
  return nullptr;
}

std::string CgroupLayout::MissingControllers() const {
  std::vector<absl::string_view> missing;
  for (absl::string_view controller : kNeeded) {
    if (WithController(controller) == nullptr) missing.push_back(controller);
  }
  return absl::StrJoin(missing, ", ");
}

absl::StatusOr<CgroupLayout> ParseCgroupLayout(absl::string_view mountinfo) {
  CgroupLayout layout;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    const std::optional<Mount> mount = ParseMount(line);
    if (!mount || mount->root != "/") continue;
    if (mount->type == "cgroup") {
      std::vector<std::string> controllers = OursAmong(mount->super_options);
      if (controllers.empty() || HasV1With(layout, controllers)) continue;
      layout.hierarchies.push_back({CgroupVersion::kV1, mount->point, std::move(controllers)});
    }
    if (mount->type == "cgroup2" && layout.V2() == nullptr) {
      MSB_ASSIGN_OR_RETURN(const std::string words,
                           ReadHostFile(absl::StrCat(mount->point, "/cgroup.controllers")));
      layout.hierarchies.push_back(
          {CgroupVersion::kV2, mount->point,
           OursAmong(absl::StrSplit(words, absl::ByAnyChar(" \n"), absl::SkipEmpty()))});
    }
  }
  return layout;
}

absl::StatusOr<CgroupLayout> DetectCgroupLayout() {
  MSB_ASSIGN_OR_RETURN(const std::string mountinfo, ReadHostFile("/proc/self/mountinfo"));
  return ParseCgroupLayout(mountinfo);
}

}  // namespace msb
