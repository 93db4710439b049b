// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What people are told about a command line that is wrong.

#ifndef MSB_SDKS_MSBCTL_USAGE_ERROR_H_
#define MSB_SDKS_MSBCTL_USAGE_ERROR_H_

#include <CLI/CLI.hpp>
#include <string>

namespace msb {

// What is wrong, what may have been meant, and the usage of the command that it was for: three
// lines.
std::string UsageError(const CLI::App& app, const CLI::ParseError& error);

// "msbctl has no command 'crate'; did you mean 'create'?"
std::string UnknownCommand(const CLI::App& parent, const std::string& word);
// "msbctl ls has no option '--al'; did you mean '--all'?"
std::string UnknownOption(const CLI::App& command, const std::string& word);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_USAGE_ERROR_H_
