// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Processes by pidfd: a pid comes again, a pidfd means one process for ever.

#ifndef MSB_SUPERVISOR_LAUNCH_PROCESS_H_
#define MSB_SUPERVISOR_LAUNCH_PROCESS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace msb {

// kNotFound (no reason) when there is no such process; kInvalidArgument for what is none, a thread
// or a number below 1.
absl::StatusOr<UniqueFd> OpenPidfd(int pid);

// Field 22 of /proc/<pid>/stat, in clock ticks since the boot.
absl::StatusOr<uint64_t> ReadStartTime(int pid);
// The same from the file's text. The second field is a name that the process chose itself.
absl::StatusOr<uint64_t> ParseStartTime(absl::string_view stat);

bool HasEnded(const UniqueFd& pidfd);

// kDeadlineExceeded (no reason) when it still runs then.
absl::Status WaitForEnd(const UniqueFd& pidfd, absl::Time deadline);

// SIGKILL. OK for a process that has ended.
absl::Status Kill(const UniqueFd& pidfd);

// The wait status, as of waitpid(2), of a child that has ended; nullopt when it has not, was reaped
// already or is nobody's child of ours (a process that another life of the daemon started).
std::optional<int> Reap(const UniqueFd& pidfd);

// "ended with code 1"; "ended by signal 31 (SIGSYS), ..." for one that its seccomp filter ended.
std::string DescribeEnd(std::optional<int> wait_status);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_PROCESS_H_
