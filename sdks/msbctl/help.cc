// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/help.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace msb {
namespace {

constexpr size_t kMargin = 2;
constexpr size_t kLeftColumns = 26;        // of names and options
constexpr size_t kLeastRightColumns = 30;  // below: explanations have lines of their own

std::vector<const CLI::App*> Visible(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

std::vector<const CLI::Option*> Positionals(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::string PositionalName(const CLI::Option& option) {
  std::string name = absl::AsciiStrToUpper(option.get_name(true));
  if (option.get_items_expected_max() > 1) name += "...";
  return option.get_required() ? name : absl::StrCat("[", name, "]");
}

// "-e, --env NAME=VALUE".
std::string OptionName(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  std::string text = absl::StrJoin(names, ", ");
  if (option.get_snames().empty()) text = "    " + text;
  if (option.get_type_size() == 0) return text;  // a flag
  return absl::StrCat(text, " ", option.get_type_name());
}

std::string OptionText(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!option.get_default_str().empty()) {
    absl::StrAppend(&text, " (default: ", option.get_default_str(), ")");
  }
  if (!option.get_envname().empty()) absl::StrAppend(&text, " [$", option.get_envname(), "]");
  return text;
}

template <typename Item>
void AddOnce(std::vector<Item>& items, const Item& item) {
  if (std::find(items.begin(), items.end(), item) == items.end()) items.push_back(item);
}

// `text` broken between words to lines of `columns`; from the second on `indent` columns in.
std::string Wrapped(const std::string& text, size_t indent, size_t columns) {
  std::string out;
  size_t column = indent;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column > indent && column + 1 + word.size() > columns) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      column = indent;
    }
    if (column > indent) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += word.size();
  }
  return out + "\n";
}

}  // namespace

std::string FullName(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name()
                           : absl::StrCat(FullName(*parent), " ", command.get_name());
}

std::string UsageOf(const CLI::App& command) {
  std::string usage = FullName(command);
  const auto options =
      command.get_options([](const CLI::Option* option) { return option->nonpositional(); });
  if (options.size() > 1) usage += " [OPTIONS]";  // more than --help
  for (const CLI::Option* option : Positionals(command)) {
    absl::StrAppend(&usage, " ", PositionalName(*option));
  }
  if (!Visible(command).empty()) usage += " COMMAND ...";
  if (command.get_prefix_command()) usage += " [--] COMMAND [ARG...]";
  return usage;
}

std::string HelpFormatter::Line(const std::string& left, const std::string& right) const {
  const bool narrow = columns_ < kMargin + kLeftColumns + kLeastRightColumns;
  const size_t indent = narrow ? 3 * kMargin : kMargin + kLeftColumns;
  std::string out = std::string(kMargin, ' ') + left;
  if (!narrow && out.size() + kMargin <= indent) {
    out.append(indent - out.size(), ' ');
  } else {
    absl::StrAppend(&out, "\n", std::string(indent, ' '));
  }
  return out + Wrapped(right, indent, columns_);
}

std::string HelpFormatter::Commands(const CLI::App& command) const {
  std::vector<std::string> groups;
  // Those of a command inherit its group, which tells nothing there.
  const bool grouped = command.get_parent() == nullptr;
  const auto group_of = [grouped](const CLI::App& sub) {
    return grouped ? sub.get_group() : std::string("Commands");
  };
  for (const CLI::App* sub : Visible(command)) AddOnce(groups, group_of(*sub));
  std::string out;
  for (const std::string& group : groups) {
    absl::StrAppend(&out, "\n", group, ":\n");
    for (const CLI::App* sub : Visible(command)) {
      if (group_of(*sub) == group) {
        absl::StrAppend(&out, Line(sub->get_name(), sub->get_description()));
      }
    }
  }
  return out;
}

std::string HelpFormatter::Options(const CLI::App& command) const {
  std::string out;
  std::string positionals;
  for (const CLI::Option* option : Positionals(command)) {
    absl::StrAppend(&positionals,
                    Line(absl::AsciiStrToUpper(option->get_name(true)), OptionText(*option)));
  }
  if (!positionals.empty()) absl::StrAppend(&out, "\nArguments:\n", positionals);
  for (const std::string& group : command.get_groups()) {
    std::string lines;
    for (const CLI::Option* option : command.get_options()) {
      if (option->get_group() != group || !option->nonpositional()) continue;
      absl::StrAppend(&lines, Line(OptionName(*option), OptionText(*option)));
    }
    if (!lines.empty()) absl::StrAppend(&out, "\n", group, ":\n", lines);
  }
  return out;
}

std::string HelpFormatter::make_help(const CLI::App* command, std::string /*name*/,
                                     CLI::AppFormatMode /*mode*/) const {
  std::string out = absl::StrCat("usage: ", UsageOf(*command), "\n\n",
                                 Wrapped(command->get_description(), 0, columns_),
                                 Commands(*command), Options(*command));
  if (!command->get_footer().empty()) absl::StrAppend(&out, "\n", command->get_footer(), "\n");
  if (command->get_parent() != nullptr) {
    absl::StrAppend(&out, "\nOptions of every command: msbctl --help\n");
  }
  return out;
}

}  // namespace msb
