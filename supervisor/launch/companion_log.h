// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The log of a companion while it runs: a file in memory that cannot grow. A companion may have to
// write large files of its user's, so that RLIMIT_FSIZE does not bound what it writes here.

#ifndef MSB_SUPERVISOR_LAUNCH_COMPANION_LOG_H_
#define MSB_SUPERVISOR_LAUNCH_COMPANION_LOG_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

// Takes the first `bytes` bytes that are written to it; further writes fail with EPERM.
absl::StatusOr<UniqueFd> MakeCompanionLog(uint64_t bytes);

// That of a process which runs already.
absl::StatusOr<UniqueFd> OpenCompanionLog(int pid);

// What has been written so far: at most `max_bytes`. The companion's own words: hostile.
absl::StatusOr<std::string> ReadCompanionLog(const UniqueFd& log, uint64_t max_bytes);

// Adds `text` to the file `path` (0600), made when it is not there. When it has more than
// `max_bytes` it begins again.
absl::Status KeepCompanionLog(absl::string_view text, const std::string& path, uint64_t max_bytes);

// The last line that is not empty, escaped and cut for an error's detail.
std::string LastLine(absl::string_view log);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_COMPANION_LOG_H_
