// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl help: what --help prints, for who asks that way.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/usage_error.h"

namespace msb {
namespace {

absl::StatusOr<int> PrintHelp(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    const auto found =
        command->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
    if (found.empty()) return MakeError(Reason::kInvalidArgument, UnknownCommand(*command, word));
    command = found.front();
  }
  std::fputs(command->help().c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddHelpCommand(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("help", "print the help of msbctl or of one command");
  command->group(kHostGroup);
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("command", *words, "which command")->type_name("COMMAND");
  command->footer("Example:\n  msbctl help exec");
  command->callback([&app, &session, words] { session.End(PrintHelp(app, *words)); });
}

}  // namespace msb
