// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// From errno to a reason of the catalogue: the one place.

#ifndef MSB_GUEST_AGENT_FILES_FILE_ERROR_H_
#define MSB_GUEST_AGENT_FILES_FILE_ERROR_H_

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/error.h"

namespace msb {

// kFileError for an errno without a reason of its own.
Reason FileReason(int error);

// `what` was done to `path` and failed: "open /etc/motd: Permission denied".
absl::Status FileError(absl::string_view what, absl::string_view path, int error = errno);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_FILE_ERROR_H_
