// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl completion: a script for a shell, made from the commands themselves.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "sdks/msbctl/command_line.h"

namespace msb {
namespace {

std::vector<std::string> Options(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

bool TakesSandbox(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional() && option->get_name(true) == "sandbox") return true;
  }
  return command.get_name() == "cp";
}

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> Names(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

std::string BashScript(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* command : Commands(app)) {
    const auto nested = Commands(*command);
    std::vector<std::string> words = Options(*command);
    for (const std::string& name : Names(nested)) words.push_back(name);
    absl::StrAppend(&cases, "    ", command->get_name(), ") words=\"", absl::StrJoin(words, " "),
                    "\"", TakesSandbox(*command) ? "; sandboxes=1" : "", " ;;\n");
  }
  return absl::StrCat(
      "# bash completion for msbctl: source <(msbctl completion bash)\n"
      "_msbctl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} command= words= sandboxes= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    [[ ${COMP_WORDS[i]} == -- ]] && return\n"
      "    [[ ${COMP_WORDS[i]} != -* ]] && command=${COMP_WORDS[i]} && break\n"
      "  done\n"
      "  case $command in\n"
      "    '') words=\"",
      absl::StrJoin(Names(Commands(app)), " "), " ", absl::StrJoin(Options(app), " "), "\" ;;\n",
      cases,
      "  esac\n"
      "  [[ -n $sandboxes && $current != -* ]] && words=$(msbctl ls -aq 2>/dev/null)\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}\n"
      "complete -o default -F _msbctl msbctl\n");
}

std::string FishScript(const CLI::App& app) {
  std::string out = "# fish completion for msbctl: msbctl completion fish | source\n";
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&out, "complete -c msbctl -n __fish_use_subcommand -f -a ", command->get_name(),
                    " -d \"", command->get_description(), "\"\n");
    const std::string seen = absl::StrCat("complete -c msbctl -n '__fish_seen_subcommand_from ",
                                          command->get_name(), "' ");
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        absl::StrAppend(&out, seen, "-l ", name, " -d \"", option->get_description(), "\"\n");
      }
    }
    if (TakesSandbox(*command)) absl::StrAppend(&out, seen, "-f -a '(msbctl ls -aq)'\n");
  }
  return out;
}

absl::StatusOr<int> Print(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") {
    std::fputs(FishScript(app).c_str(), stdout);
    return kExitOk;
  }
  if (shell == "zsh") std::fputs("autoload -U +X bashcompinit && bashcompinit\n", stdout);
  std::fputs(BashScript(app).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("completion", "a completion script for your shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, &session, shell] { session.End(Print(app, *shell)); });
}

}  // namespace msb
