// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which cgroup hierarchies this host has, and which of them has which controller: v1, v2, or some
// controllers in each.

#ifndef MSB_SUPERVISOR_LAUNCH_CGROUP_LAYOUT_H_
#define MSB_SUPERVISOR_LAUNCH_CGROUP_LAYOUT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

enum class CgroupVersion { kV1, kV2 };

struct CgroupHierarchy {
  CgroupVersion version;
  std::string mount;
  // Those of ours (memory, cpu, cpuacct, pids) that are bound to it. A v2 hierarchy without any is
  // kept: it can kill and tell when a cgroup is empty.
  std::vector<std::string> controllers;
};

struct CgroupLayout {
  std::vector<CgroupHierarchy> hierarchies;  // each with a controller of ours, or v2

  // nullptr when no hierarchy has it.
  const CgroupHierarchy* WithController(absl::string_view controller) const;
  const CgroupHierarchy* V2() const;
  // Of memory, cpu and pids, separated by commas; empty when all are there.
  std::string MissingControllers() const;
};

// From the text of /proc/self/mountinfo and the cgroup.controllers of a v2 mount. Mounts that show
// only a part of a hierarchy (bind mounts) are passed over; of two mounts of one hierarchy the
// first counts.
absl::StatusOr<CgroupLayout> ParseCgroupLayout(absl::string_view mountinfo);

// That of this host.
absl::StatusOr<CgroupLayout> DetectCgroupLayout();

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_CGROUP_LAYOUT_H_
