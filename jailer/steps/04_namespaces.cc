// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::StatusOr<pid_t> CloneIntoNamespaces(const Plan& plan) {
  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  if (plan.network == Network::kOwn) args.flags |= CLONE_NEWNET;
  // A child of the daemon's, which can wait for its end; the jailer itself ends in a moment.
  args.flags |= CLONE_PARENT;

  UniqueFd cgroup;
  const auto v2 = std::find_if(
      plan.hierarchies.begin(), plan.hierarchies.end(),
      [](const CgroupHierarchy& hierarchy) { return hierarchy.version == CgroupVersion::kV2; });
  if (v2 != plan.hierarchies.end()) {
    const std::string folder = absl::StrCat(v2->mount, "/", plan.cgroup);
    MSB_ASSIGN_OR_RETURN(const int fd, Syscall(folder, [&] {
                           return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                         }));
    cgroup = UniqueFd(fd);
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(fd);
  }
  return Syscall("clone3",
                 [&] { return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args))); });
}

}  // namespace msb
