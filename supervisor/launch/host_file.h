// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Small files of the kernel's, /proc and cgroups, and of the daemon's own.

#ifndef MSB_SUPERVISOR_LAUNCH_HOST_FILE_H_
#define MSB_SUPERVISOR_LAUNCH_HOST_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

// open(2), close-on-exec. The error names the path.
absl::StatusOr<UniqueFd> OpenHostFile(const std::string& path, int flags);

// Another descriptor of what is open, close-on-exec.
absl::StatusOr<UniqueFd> Duplicate(const UniqueFd& file);

// Names of what is in a directory, in no order. None where there is no such directory.
absl::StatusOr<std::vector<std::string>> ListHostDirectory(const std::string& path);

// The whole file, at most 1 MiB of it.
absl::StatusOr<std::string> ReadHostFile(const std::string& path);

// One write; the kernel takes or refuses it as a whole.
absl::Status WriteHostFile(const std::string& path, absl::string_view text);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_HOST_FILE_H_
