// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/substitution.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "network/policy/secret_host.h"

namespace msb::net {
namespace {

// How many of the last bytes of `text` may be the beginning of a placeholder.
size_t PossibleBeginning(absl::string_view text) {
  for (size_t length = std::min(text.size(), kPlaceholderPrefix.size() - 1); length > 0; --length) {
    if (absl::EndsWith(text, kPlaceholderPrefix.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::string Spell(absl::string_view value, Spelling spelling) {
  if (spelling == Spelling::kPlain) return std::string(value);
  std::string text;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (spelling == Spelling::kJson) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    } else if (absl::ascii_isalnum(byte) ||
               absl::string_view("-._~").find(c) != std::string::npos) {
      text += c;  // RFC 3986, 2.3
    } else {
      text += absl::StrFormat("%%%02X", byte);
    }
  }
  return text;
}

void Substitution::Feed(absl::string_view piece, std::string& out) {
  held_.append(piece.data(), piece.size());
  absl::string_view rest = held_;
  while (true) {
    const size_t at = rest.find(kPlaceholderPrefix);
    if (at == absl::string_view::npos) {
      const size_t keep = PossibleBeginning(rest);
      out.append(rest.data(), rest.size() - keep);
      rest.remove_prefix(rest.size() - keep);
      break;
    }
    out.append(rest.data(), at);
    rest.remove_prefix(at);
    if (rest.size() < kPlaceholderBytes) break;
    const absl::string_view candidate = rest.substr(0, kPlaceholderBytes);
    const auto found = std::find_if(
        substitutes_.begin(), substitutes_.end(),
        [&](const Substitute& substitute) { return substitute.placeholder == candidate; });
    if (found != substitutes_.end()) {
      out += on_found_(*found);
      rest.remove_prefix(kPlaceholderBytes);
    } else {
      // Another may begin within what only looks like one.
      out.append(rest.data(), kPlaceholderPrefix.size());
      rest.remove_prefix(kPlaceholderPrefix.size());
    }
  }
  held_.erase(0, held_.size() - rest.size());
}

void Substitution::Finish(std::string& out) {
  out += held_;
  held_.clear();
}

}  // namespace msb::net
