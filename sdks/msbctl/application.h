// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The whole command line: all commands put together, parsed, and what is wrong with it told.

#ifndef MSB_SDKS_MSBCTL_APPLICATION_H_
#define MSB_SDKS_MSBCTL_APPLICATION_H_

#include <CLI/CLI.hpp>
#include <memory>

#include "sdks/msbctl/command_line.h"

namespace msb {

// `msbctl` with every command; `columns` is the width of its help. `session` must outlive it.
std::unique_ptr<CLI::App> MakeApplication(Session& session, size_t columns);

// Parses, runs, flushes standard output; the exit code (exit_code.h).
int RunCommandLine(int argc, char** argv);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_APPLICATION_H_
