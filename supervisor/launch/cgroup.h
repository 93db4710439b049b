// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The cgroup of one sandbox, in every hierarchy of the host. The jailer makes it and sets its
// limits (jailer/steps/03_cgroup.cc); here it is read, emptied and removed.

#ifndef MSB_SUPERVISOR_LAUNCH_CGROUP_H_
#define MSB_SUPERVISOR_LAUNCH_CGROUP_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/launcher.h"

namespace msb {

class Cgroup {
 public:
  // `layout` outlives this. `name` is relative to each mount; the cgroup need not exist.
  Cgroup(const CgroupLayout& layout, absl::string_view name) : layout_(layout), name_(name) {}

  // The processes in it, in any hierarchy; empty when there is no such cgroup.
  absl::StatusOr<std::set<int>> Processes() const;

  // SIGKILL to all processes in it, also to those that are born meanwhile, and waits for their end.
  // Children of ours are reaped. kHostError when some are left at `deadline`.
  absl::Status Kill(absl::Time deadline) const;

  // Removes it from every hierarchy. OK when it is not there.
  absl::Status Remove() const;

  // kSandboxNotRunning when there is no such cgroup.
  absl::StatusOr<Launcher::Usage> ReadUsage() const;

 private:
  std::string Folder(const CgroupHierarchy& hierarchy) const;
  // Processes by pid, each certainly one of this cgroup.
  absl::StatusOr<std::map<int, UniqueFd>> OpenProcesses() const;
  absl::Status ForbidForks() const;
  absl::Status KillAtOnce() const;
  absl::Status WaitUntilEmpty(absl::Time deadline) const;

  const CgroupLayout& layout_;
  const std::string name_;
};

// Whether the text of a /proc/<pid>/cgroup names the cgroup `name` in some hierarchy.
bool IsMemberOf(absl::string_view proc_cgroup, absl::string_view name);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_CGROUP_H_
