// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl: the command line of microsandbox.

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "base/version.h"
#include "sdks/msbctl/command_line.h"

namespace {

// CLI11 reports by exceptions; they end here.
int ParseAndRun(CLI::App& app, msb::Session& session, int argc, char** argv) {
  const auto words = std::span(argv, static_cast<size_t>(argc));
  const auto dashes = std::find(words.begin(), words.end(), std::string_view("--"));
  if (dashes != words.end()) session.behind_dashes.assign(dashes + 1, words.end());
  try {
    app.parse(static_cast<int>(dashes - words.begin()), argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? msb::kExitOk : msb::kExitUsage;
  }
  return session.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  msb::Session session;
  CLI::App app("Run untrusted code in micro-VMs of its own.", "msbctl");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", std::string(msb::Version()));
  app.add_option("--socket", session.endpoint.socket, "the daemon's Unix socket")
      ->envname("MSB_SOCKET")
      ->capture_default_str();
  app.add_option("--address", session.endpoint.address, "the daemon's HOST:PORT instead")
      ->envname("MSB_ADDRESS");
  app.add_option("--token-file", session.endpoint.token_file, "bearer token for --address")
      ->envname("MSB_TOKEN_FILE");
  app.add_option("--format", session.format_name, "table for people, json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.footer("\nFirst steps:\n  msbctl doctor\n  msbctl run -- python3 -c 'print(6*7)'");
  msb::AddRunCommand(app, session);
  msb::AddLifecycleCommands(app, session);
  msb::AddListCommands(app, session);
  msb::AddExecCommands(app, session);
  msb::AddCopyCommand(app, session);
  msb::AddObserveCommands(app, session);
  msb::AddDaemonCommands(app, session);
  msb::AddCompletionCommand(app, session);
  return ParseAndRun(app, session, argc, argv);
}
