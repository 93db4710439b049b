// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/application.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/version.h"
#include "sdks/msbctl/help.h"
#include "sdks/msbctl/usage_error.h"
#include "sdks/msbctl/utf8.h"

namespace msb {
namespace {

constexpr size_t kPipeColumns = 80;   // of help that goes to no terminal
constexpr size_t kMostColumns = 100;  // longer lines are hard to read
constexpr size_t kLeastColumns = 40;

constexpr char kFooter[] =
    R"(Exit codes:
  0             done
  1             the call failed; stderr says why, with a [REASON] (docs/errors.md)
  2             the command line is wrong
  run, exec, attach and shell end with the exit code of their command, or with
  124           it was killed at its --timeout
  125           it was not started, or the connection to it broke
  126, 127      it cannot be executed; it was not found
  128+N         signal N killed it

First steps:
  msbctl doctor                             is this host ready?
  msbctl run -- python3 -c 'print(6*7)'     a command in a sandbox of its own
  msbctl create --name box                  one that stays: msbctl shell box

msbctl COMMAND --help tells more about a command.)";

void DeclareGlobalOptions(CLI::App& app, Session& session) {
  app.set_help_flag("-h,--help", "print this help")->group("Global options");
  app.set_version_flag("-v,--version", absl::StrCat("msbctl ", Version()), "print the version")
      ->group("Global options");
  app.add_option("--socket", session.endpoint.socket, "the daemon's Unix socket")
      ->type_name("PATH")
      ->envname("MSB_SOCKET")
      ->capture_default_str()
      ->group("Global options");
  app.add_option("--address", session.endpoint.address, "the daemon's HOST:PORT, with --token-file")
      ->type_name("ADDRESS")
      ->envname("MSB_ADDRESS")
      ->group("Global options");
  app.add_option("--token-file", session.endpoint.token_file, "bearer token for --address")
      ->type_name("PATH")
      ->envname("MSB_TOKEN_FILE")
      ->group("Global options");
  app.add_option("--format", session.format_name, "table for people, json for programs")
      ->type_name("FORMAT")
      ->check(OneOf({"table", "json"}))
      ->capture_default_str()
      ->group("Global options");
}

bool RunsACommandInTheGuest(const CLI::App& app) {
  if (app.get_subcommands().empty()) return false;
  const std::string& name = app.get_subcommands().front()->get_name();
  return name == "run" || name == "exec" || name == "attach" || name == "shell";
}

size_t HelpColumns(int fd) {
  const size_t columns = TerminalColumns(fd);
  return columns == 0 ? kPipeColumns : std::clamp(columns, kLeastColumns, kMostColumns);
}

// Where the guest's own words begin: CLI11 never sees what stands behind the first "--" of a
// command that ends in one of the guest.
size_t WordsBeforeDashes(const CLI::App& app, std::span<char*> words) {
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  for (size_t i = 1; i < words.size(); ++i) {
    if (std::string_view(words[i]) == "--") return i;
    for (const CLI::App* command : commands) {
      if (command->get_name() != words[i]) continue;
      if (!command->get_prefix_command()) return words.size();
      return static_cast<size_t>(std::find(words.begin(), words.end(), std::string_view("--")) -
                                 words.begin());
    }
  }
  return words.size();
}

absl::Status CheckWords(std::span<char*> words) {
  for (const char* word : words) {
    if (IsUtf8(word)) continue;
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("'", word,
                                  "' is no UTF-8 text, which arguments must be; bytes go "
                                  "in by standard input or msbctl cp"));
  }
  return absl::OkStatus();
}

int Parse(CLI::App& app, Session& session, std::span<char*> words) {
  const size_t ours = WordsBeforeDashes(app, words);
  if (ours < words.size()) session.behind_dashes.assign(words.begin() + ours + 1, words.end());
  try {  // CLI11 reports by exceptions; they end here
    app.parse(static_cast<int>(ours), words.data());
  } catch (const CLI::Success& success) {  // --help, --version
    app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::fputs(UsageError(app, error).c_str(), stderr);
    return RunsACommandInTheGuest(app) ? kExitNotStarted : kExitUsage;
  }
  return session.exit_code();
}

}  // namespace

std::unique_ptr<CLI::App> MakeApplication(Session& session, size_t columns) {
  auto app = std::make_unique<CLI::App>("Run untrusted code in micro-VMs of its own", "msbctl");
  app->formatter(std::make_shared<HelpFormatter>(columns));
  app->set_help_flag("-h,--help", "print this help");
  app->fallthrough();
  AddRunCommand(*app, session);
  AddLifecycleCommands(*app, session);
  AddExecCommands(*app, session);
  AddCopyCommand(*app, session);
  AddListCommands(*app, session);
  AddNetworkCommands(*app, session);
  AddImageCommands(*app, session);
  AddSecretCommands(*app, session);
  AddPrivateNetworkCommands(*app, session);
  AddVolumeCommands(*app, session);
  AddObserveCommands(*app, session);
  AddDaemonCommands(*app, session);
  AddCompletionCommand(*app, session);
  AddHelpCommand(*app, session);
  // Last: commands would inherit them.
  DeclareGlobalOptions(*app, session);
  app->require_subcommand(1);
  app->footer(kFooter);
  return app;
}

int RunCommandLine(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<size_t>(argc));
  if (const absl::Status status = CheckWords(words); !status.ok()) {
    PrintError(status);
    return kExitUsage;
  }
  Session session;
  const auto app = MakeApplication(session, HelpColumns(STDOUT_FILENO));
  const int exit_code = Parse(*app, session, words);
  // A full disk shows only now. A reader that left is no failure.
  if (std::fflush(stdout) == 0 || errno == EPIPE) return exit_code;
  std::fprintf(stderr, "msbctl: standard output: %s\n", std::strerror(errno));
  return exit_code == kExitOk ? kExitFailure : exit_code;
}

}  // namespace msb
