// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl completion: a script for a shell, made from the commands themselves.

#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/error.h"
#include "sdks/msbctl/command_line.h"

namespace msb {
namespace {

constexpr char kZshPreamble[] =
    "(( $+functions[compdef] )) || { autoload -U +X compinit && compinit; }\n"
    "autoload -U +X bashcompinit && bashcompinit\n";

bool TakesValue(const CLI::Option& option) {
  return option.nonpositional() && option.get_type_size() != 0;
}

std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  return names;
}

std::vector<std::string> Options(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty()) continue;
    for (std::string& name : NamesOf(*option)) names.push_back(std::move(name));
  }
  return names;
}

bool HasPositional(const CLI::App& command, const std::string& name) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional() && option->get_name(true) == name) return true;
  }
  return false;
}

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> Names(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

// The options that the next word belongs to, of all commands: none is a flag in another.
std::set<std::string> OptionsWithValue(const CLI::App& app) {
  std::set<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    if (!TakesValue(*option)) continue;
    for (std::string& name : NamesOf(*option)) names.insert(std::move(name));
  }
  for (const CLI::App* command : Commands(app)) names.merge(OptionsWithValue(*command));
  return names;
}

// What a command takes where no option stands: the shell function below knows these words.
std::string Takes(const CLI::App& command) {
  if (command.get_name() == "cp") return "place";
  if (command.get_name() == "image") return "image";
  if (HasPositional(command, "exec")) return "exec";
  return HasPositional(command, "sandbox") ? "sandbox" : "";
}

std::string BashScript(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* command : Commands(app)) {
    std::vector<std::string> words = Options(*command);
    for (const std::string& name : Names(Commands(*command))) words.push_back(name);
    if (command->get_name() == "completion") words.insert(words.end(), {"bash", "zsh", "fish"});
    if (command->get_name() == "help") words = Names(Commands(app));
    absl::StrAppend(&cases, "    ", command->get_name(), ") words=\"", absl::StrJoin(words, " "),
                    "\" takes=", Takes(*command), " ;;\n");
  }
  return absl::StrCat(
      R"(# Completion for msbctl.
_msbctl() {
  local msbctl=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
  local previous=${COMP_WORDS[COMP_CWORD-1]} command= sandbox= count=0 words= takes= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --) return ;;
      )",
      absl::StrJoin(OptionsWithValue(app), "|"), R"() ((i++)) ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then command=${COMP_WORDS[i]}
        else
          ((count++))
          [[ -n $sandbox ]] || sandbox=${COMP_WORDS[i]}
        fi ;;
    esac
  done
  case $command in
    '') words=")",
      absl::StrJoin(Names(Commands(app)), " "), " ", absl::StrJoin(Options(app), " "), "\" ;;\n",
      cases, R"(  esac
  case $previous in
    --format) words="table json" takes= ;;
    --engine) words="auto kvm qemu" takes= ;;
    --pull) words="missing always never" takes= ;;
    --image) words=$("$msbctl" image ls -q 2>/dev/null) takes= ;;
    )",
      absl::StrJoin(OptionsWithValue(app), "|"), R"() return ;;
  esac
  if [[ $current != -* ]]; then
    case $takes in
      sandbox) words=$("$msbctl" ls -aq 2>/dev/null) ;;
      image) ((count == 0)) || words=$("$msbctl" image ls -q 2>/dev/null) ;;
      exec)
        if ((count == 0)); then words=$("$msbctl" ls -aq 2>/dev/null)
        else words=$("$msbctl" ps -q "$sandbox" 2>/dev/null); fi ;;
      place)
        words=$("$msbctl" ls -q 2>/dev/null | sed 's/$/:/')
        compopt -o nospace 2>/dev/null ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _msbctl msbctl
)");
}

// fish keeps single quotes literal but for \' and \\.
std::string FishQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string FishOptions(const CLI::App& command, const std::string& line) {
  std::string out;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty() || !option->nonpositional()) continue;
    std::string names;
    for (const std::string& name : option->get_lnames()) absl::StrAppend(&names, " -l ", name);
    for (const std::string& name : option->get_snames()) absl::StrAppend(&names, " -s ", name);
    absl::StrAppend(&out, line, names, TakesValue(*option) ? " -r" : "", " -d ",
                    FishQuoted(option->get_description()), "\n");
  }
  return out;
}

std::string FishScript(const CLI::App& app) {
  std::string out = "# Completion for msbctl.\n";
  absl::StrAppend(&out, FishOptions(app, "complete -c msbctl"));
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&out, "complete -c msbctl -n __fish_use_subcommand -f -a ", command->get_name(),
                    " -d ", FishQuoted(command->get_description()), "\n");
    const std::string seen = absl::StrCat("complete -c msbctl -n '__fish_seen_subcommand_from ",
                                          command->get_name(), "'");
    absl::StrAppend(&out, FishOptions(*command, seen));
    for (const CLI::App* sub : Commands(*command)) {
      absl::StrAppend(&out, seen, " -f -a ", sub->get_name(), " -d ",
                      FishQuoted(sub->get_description()), "\n");
    }
    if (command->get_name() == "completion")
      absl::StrAppend(&out, seen, " -f -a 'bash zsh fish'\n");
    const std::string takes = Takes(*command);
    if (takes == "place") {
      absl::StrAppend(&out, seen, " -a '(msbctl ls -q 2>/dev/null | string replace -r \"$\" :)'\n");
    } else if (takes == "image") {
      absl::StrAppend(&out, seen, " -f -a '(msbctl image ls -q 2>/dev/null)'\n");
    } else if (!takes.empty()) {
      absl::StrAppend(&out, seen, " -f -a '(msbctl ls -aq 2>/dev/null)'\n");
    }
  }
  return out;
}

absl::StatusOr<int> Print(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") {
    std::fputs(FishScript(app).c_str(), stdout);
    return kExitOk;
  }
  if (shell == "zsh") std::fputs(kZshPreamble, stdout);
  std::fputs(BashScript(app).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("completion", "a completion script for your shell");
  command->group(kHostGroup);
  command->footer(
      "Completes commands, options, sandboxes, images and the ids of commands.\n\n"
      "Examples:\n"
      "  source <(msbctl completion bash)                      # in ~/.bashrc\n"
      "  source <(msbctl completion zsh)                       # in ~/.zshrc\n"
      "  msbctl completion fish > ~/.config/fish/completions/msbctl.fish");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}));
  command->callback([&app, &session, shell] { session.End(Print(app, *shell)); });
}

}  // namespace msb
