// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/usage_error.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "sdks/msbctl/help.h"
#include "sdks/msbctl/output.h"
#include "sdks/msbctl/suggestion.h"

namespace msb {
namespace {

// The command that the words parsed so far lead to.
const CLI::App& Innermost(const CLI::App& app) {
  const CLI::App* innermost = &app;
  while (!innermost->get_subcommands().empty()) {
    innermost = innermost->get_subcommands().front();
  }
  return *innermost;
}

std::vector<std::string> CommandNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  return names;
}

// CLI11's own words, as ours begin.
std::string Lower(std::string text) {
  if (!text.empty()) text[0] = absl::ascii_tolower(static_cast<unsigned char>(text[0]));
  return Printable(text);
}

std::string Complaint(const CLI::App& app, const CLI::App& command, const CLI::ParseError& error) {
  const std::vector<std::string> words = app.remaining(true);
  if (!words.empty()) {
    const std::string& word = words.front();
    if (word.size() > 1 && word.front() == '-') return UnknownOption(command, word);
    if (!CommandNames(command).empty()) return UnknownCommand(command, word);
    return absl::StrCat(FullName(command), " takes no further argument: '", Printable(word), "'");
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    if (!CommandNames(command).empty()) return absl::StrCat(FullName(command), " needs a command");
    for (const CLI::Option* option : command.get_options()) {
      if (option->get_positional() && option->get_required() && option->count() == 0) {
        return absl::StrCat(absl::AsciiStrToUpper(option->get_name(true)), " is missing");
      }
    }
  }
  return Lower(error.what());
}

std::vector<std::string> OptionNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::string DidYouMean(const std::string& meant) {
  return meant.empty() ? "" : absl::StrCat("; did you mean '", meant, "'?");
}

}  // namespace

std::string UnknownCommand(const CLI::App& parent, const std::string& word) {
  std::string meant = parent.get_parent() == nullptr ? OursFor(word) : "";
  if (meant.empty()) meant = Nearest(word, CommandNames(parent));
  return absl::StrCat(FullName(parent), " has no command '", Printable(word), "'",
                      DidYouMean(meant));
}

std::string UnknownOption(const CLI::App& command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  return absl::StrCat(FullName(command), " has no option '", Printable(name), "'",
                      DidYouMean(Nearest(name, OptionNames(command))));
}

std::string UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = Innermost(app);
  return absl::StrCat("msbctl: ", Complaint(app, command, error), "\nusage: ", UsageOf(command),
                      "\nMore: ", FullName(command), " --help\n");
}

}  // namespace msb
