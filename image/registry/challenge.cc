// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/challenge.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace msb::image {
namespace {

constexpr size_t kMaxChallenges = 16;
constexpr size_t kMaxParameters = 32;

bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", c);
}

// The parts of a header, taken from its front.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }

  void SkipSpaces() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }

  void SkipSeparators() {
    SkipSpaces();
    while (absl::ConsumePrefix(&rest_, ",")) SkipSpaces();
  }

  // Empty when there is none.
  absl::string_view TakeToken() {
    const auto* end = std::find_if_not(rest_.begin(), rest_.end(), IsTokenCharacter);
    return Take(static_cast<size_t>(end - rest_.begin()));
  }

  // "=" and a token or a quoted string; nullopt, and nothing taken, without them.
  std::optional<std::string> TakeValue() {
    const absl::string_view before = rest_;
    SkipSpaces();
    if (absl::ConsumePrefix(&rest_, "=")) {
      SkipSpaces();
      if (absl::ConsumePrefix(&rest_, "\"")) return TakeQuoted();
      const absl::string_view token = TakeToken();
      if (!token.empty()) return std::string(token);
    }
    rest_ = before;
    return std::nullopt;
  }

  // What no rule above covers, up to the next comma.
  void SkipItem() { Take(std::min(rest_.find(','), rest_.size())); }

  // To look ahead and come back.
  absl::string_view rest() const { return rest_; }
  void Return(absl::string_view rest) { rest_ = rest; }

 private:
  absl::string_view Take(size_t count) {
    const absl::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  // Behind the opening quote. Without a closing one, all that is left.
  std::string TakeQuoted() {
    std::string value;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') break;
      if (c == '\\' && !rest_.empty()) {
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      value.push_back(c);
    }
    return value;
  }

  absl::string_view rest_;
};

// Parameters up to the next challenge or the end.
void ParseParameters(Scanner& scanner, Challenge& challenge) {
  while (true) {
    scanner.SkipSeparators();
    const absl::string_view here = scanner.rest();
    const absl::string_view name = scanner.TakeToken();
    std::optional<std::string> value;
    if (!name.empty()) value = scanner.TakeValue();
    if (!value.has_value()) {
      scanner.Return(here);
      return;
    }
    if (challenge.parameters.size() < kMaxParameters) {
      challenge.parameters.emplace_back(absl::AsciiStrToLower(name), *std::move(value));
    }
  }
}

}  // namespace

absl::string_view Challenge::Get(absl::string_view name) const {
  for (const auto& [parameter, value] : parameters) {
    if (parameter == name) return value;
  }
  return "";
}

std::vector<Challenge> ParseChallenges(absl::string_view header) {
  std::vector<Challenge> challenges;
  Scanner scanner(header);
  while (challenges.size() < kMaxChallenges) {
    scanner.SkipSeparators();
    if (scanner.at_end()) break;
    const absl::string_view scheme = scanner.TakeToken();
    if (scheme.empty()) {
      scanner.SkipItem();
      continue;
    }
    Challenge& challenge = challenges.emplace_back();
    challenge.scheme = absl::AsciiStrToLower(scheme);
    scanner.SkipSpaces();
    if (scanner.at_end() || scanner.rest().front() == ',') continue;
    ParseParameters(scanner, challenge);
    // One value without a name (token68), as Negotiate has it.
    if (challenge.parameters.empty()) scanner.SkipItem();
  }
  return challenges;
}

}  // namespace msb::image
