// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A message for a process that is about to start.

#ifndef MSB_SUPERVISOR_LAUNCH_SEALED_FRAME_H_
#define MSB_SUPERVISOR_LAUNCH_SEALED_FRAME_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

// A file without a name that holds `payload` as one frame (base/frames.h) and cannot be changed.
absl::StatusOr<UniqueFd> MakeSealedFrame(absl::string_view payload);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_SEALED_FRAME_H_
