// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A question to a companion on its control socket. It may have been taken over, or have stopped:
// nothing waits for it without an end.

#ifndef MSB_SUPERVISOR_SANDBOX_ASK_COMPANION_H_
#define MSB_SUPERVISOR_SANDBOX_ASK_COMPANION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace msb {

struct CompanionQuestion {
  absl::string_view asked;  // "msb-net", for errors
  std::string socket;       // its path
  absl::string_view frame;  // base/frames.h
  int descriptor = -1;      // a copy goes with the frame, unless -1
};

// The payload of the frame that answers. Blocks for at most `timeout`. kHostError: there is no
// answer, and why.
absl::StatusOr<std::string> AskCompanion(const CompanionQuestion& question, absl::Duration timeout);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_ASK_COMPANION_H_
