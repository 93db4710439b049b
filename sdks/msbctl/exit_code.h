// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How msbctl ends. `run`, `exec`, `attach` and `shell` end with the code of the command they ran;
// the codes from 124 up say that it did not end by itself (the convention of env(1), timeout(1) and
// Docker).

#ifndef MSB_SDKS_MSBCTL_EXIT_CODE_H_
#define MSB_SDKS_MSBCTL_EXIT_CODE_H_

#include "absl/status/status.h"

namespace msb {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;    // a call failed
inline constexpr int kExitUsage = 2;      // the command line is wrong
inline constexpr int kExitTimeout = 124;  // the command was killed at its time limit
inline constexpr int kExitNotStarted =
    125;  // no command was run: daemon, sandbox or connection failed
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;
inline constexpr int kExitSignalBase = 128;  // + number of the signal that killed the command

// For a command that was to be run in a sandbox.
int ExitCodeOfExecError(const absl::Status& status);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_EXIT_CODE_H_
