// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What --help prints.

#ifndef MSB_SDKS_MSBCTL_HELP_H_
#define MSB_SDKS_MSBCTL_HELP_H_

#include <CLI/CLI.hpp>
#include <string>

namespace msb {

// "msbctl exec [OPTIONS] SANDBOX [--] COMMAND [ARG...]".
std::string UsageOf(const CLI::App& command);

// "msbctl daemon start": the command with those above it.
std::string FullName(const CLI::App& command);

// Usage, what the command does, its commands by group, its options, then its footer: examples and
// what else is to be known.
class HelpFormatter : public CLI::Formatter {
 public:
  // Lines are at most `columns` wide.
  explicit HelpFormatter(size_t columns) : columns_(columns) {}
  std::string make_help(const CLI::App* command, std::string name,
                        CLI::AppFormatMode mode) const override;

 private:
  std::string Commands(const CLI::App& command) const;
  std::string Options(const CLI::App& command) const;
  // "  left        right", the right part wrapped below itself.
  std::string Line(const std::string& left, const std::string& right) const;

  const size_t columns_;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_HELP_H_
