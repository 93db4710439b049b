// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/exit_code.h"

#include "base/error.h"

namespace msb {

int ExitCodeOfExecError(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case Reason::kCommandNotFound:
      return kExitNotFound;
    case Reason::kCommandNotExecutable:
      return kExitNotExecutable;
    case Reason::kExecTimeout:
      return kExitTimeout;
    default:
      return kExitNotStarted;
  }
}

}  // namespace msb
