// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/kvm_finding.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb {
namespace {

using Members = std::map<std::string, std::string>;

// A reader for as much of RFC 8259 as the answer uses: an object of strings, numbers and words.
// Strings have no \u escapes.
class FlatObjectReader {
 public:
  explicit FlatObjectReader(absl::string_view text) : text_(text) {}

  // nullopt when the text is anything else.
  std::optional<Members> Read() {
    Members members;
    if (!Take('{')) return std::nullopt;
    if (!Take('}')) {
      do {
        const auto key = ReadString();
        if (!key || !Take(':')) return std::nullopt;
        auto value = Peek() == '"' ? ReadString() : ReadWord();
        if (!value) return std::nullopt;
        members[*key] = *std::move(value);
      } while (Take(','));
      if (!Take('}')) return std::nullopt;
    }
    SkipSpace();
    return text_.empty() ? std::optional(std::move(members)) : std::nullopt;
  }

 private:
  void SkipSpace() { text_ = absl::StripLeadingAsciiWhitespace(text_); }

  char Peek() {
    SkipSpace();
    return text_.empty() ? '\0' : text_.front();
  }

  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::optional<std::string> ReadString() {
    if (!Take('"')) return std::nullopt;
    std::string value;
    while (!text_.empty()) {
      char c = text_.front();
      text_.remove_prefix(1);
      if (c == '"') return value;
      if (c == '\\') {
        if (text_.empty()) return std::nullopt;
        c = text_.front();
        text_.remove_prefix(1);
        if (c == 'n' || c == 't') c = ' ';
        if (c == 'u') return std::nullopt;
      }
      value.push_back(c);
    }
    return std::nullopt;
  }

  std::optional<std::string> ReadWord() {
    SkipSpace();
    size_t end = 0;
    while (end < text_.size() && text_[end] != ',' && text_[end] != '}' &&
           !absl::ascii_isspace(static_cast<unsigned char>(text_[end]))) {
      ++end;
    }
    if (end == 0) return std::nullopt;
    std::string word(text_.substr(0, end));
    text_.remove_prefix(end);
    return word;
  }

  absl::string_view text_;
};

std::optional<KvmState> StateNamed(absl::string_view name) {
  if (name == "hardware") return KvmState::kHardware;
  if (name == "emulated") return KvmState::kEmulated;
  if (name == "unusable") return KvmState::kUnusable;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<KvmFinding> ParseKvmFinding(absl::string_view json) {
  const auto wrong = [&] {
    return MakeError(Reason::kHostError,
                     absl::StrCat("not an answer of --probe-kvm: ", EscapeForLog(json)));
  };
  std::optional<Members> members = FlatObjectReader(json).Read();
  if (!members) return wrong();
  const std::optional<KvmState> state = StateNamed((*members)["kvm"]);
  if (!state) return wrong();
  KvmFinding finding{.state = *state, .detail = (*members)["detail"]};
  const std::string& loop_ms = (*members)["loop_ms"];
  if (!loop_ms.empty() && !absl::SimpleAtod(loop_ms, &finding.loop_ms)) return wrong();
  return finding;
}

}  // namespace msb
