// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The steps, a file each; jailer/run.cc has their order. 1 to 4 run in the jailer itself, the
// others in the process that becomes the VMM or a companion of it. Both are single-threaded, so a
// step may use the heap on either side.

#ifndef MSB_JAILER_STEPS_STEPS_H_
#define MSB_JAILER_STEPS_STEPS_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jailer/plan.h"

namespace msb {

// 1: everything behind this needs root.
absl::Status CheckPrivileges(const Plan& plan);

// 2: closes every descriptor but 0, 1, 2 and those that the plan names; of these, the jailer's own
// close on exec and the kept ones do not. The numbers of --open are taken, so that nothing else is.
absl::Status KeepDescriptors(const Plan& plan);

// 3: makes the cgroup in each hierarchy, sets its limits and joins those of v1.
absl::Status MakeCgroup(const Plan& plan);

// 4: the process that becomes the VMM, pid 1 of new namespaces and a member of the v2 cgroup, as a
// child of our parent. Returns twice, like fork: 0 in the new process.
absl::StatusOr<pid_t> CloneIntoNamespaces(const Plan& plan);

// 5: a session, a session keyring, a cgroup namespace and a host name of its own.
absl::Status StartSession(const Plan& plan);

// 6: an empty file system on --root, for now writable.
absl::Status MountRoot(const Plan& plan);

// 14: what the plan names of the host's files, as the jail's user may open it.
absl::Status OpenSources(const Plan& plan);

// 7: what the plan asks for below the new root.
absl::Status MountContents(const Plan& plan);

// 8: the new root becomes /, read-only; the host's file systems are gone.
absl::Status PivotRoot(const Plan& plan);

// 9: no core files, bounded descriptors and file sizes.
absl::Status SetRlimits(const Plan& plan);

// 10: gives away the bounding and ambient sets but for what the plan keeps, so that no exec ever
// brings another capability back.
absl::Status DropCapabilities(const Plan& plan);

// 11: the user and groups of the jail, and no capability but those that the plan keeps.
absl::Status ChangeIdentity(const Plan& plan);

// 12: no privilege through exec, no tracing, no file for others.
absl::Status LockDown(const Plan& plan);

// 13: returns only on failure.
absl::Status Execute(const Plan& plan);

}  // namespace msb

#endif  // MSB_JAILER_STEPS_STEPS_H_
