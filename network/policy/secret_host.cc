// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/policy/secret_host.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "network/policy/rule.h"

namespace msb::net {

bool IsPlaceholder(absl::string_view text) {
  return text.size() == kPlaceholderBytes && absl::ConsumePrefix(&text, kPlaceholderPrefix) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

bool SecretHost::Matches(absl::string_view candidate, uint16_t candidate_port) const {
  if (candidate_port != port) return false;
  if (!below) return candidate == name;
  return absl::ConsumeSuffix(&candidate, name) && candidate.size() > 1 && candidate.back() == '.';
}

std::string SecretHost::ToString() const {
  return absl::StrCat(below ? "*." : "", name, ":", port);
}

absl::StatusOr<SecretHost> ParseSecretHost(absl::string_view text) {
  const auto wrong = [text](absl::string_view what) {
    return MakeError(Reason::kSecretInvalid,
                     absl::StrCat("\"", EscapeForLog(text.substr(0, 300)), "\" ", what));
  };
  SecretHost host;
  absl::string_view rest = text;
  if (const size_t colon = rest.rfind(':'); colon != absl::string_view::npos) {
    uint32_t port = 0;
    const absl::string_view digits = rest.substr(colon + 1);
    if (digits.empty() || digits.size() > 5 ||
        !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(digits, &port) || port < 1 || port > UINT16_MAX) {
      return wrong("has no port of 1..65535 behind its colon");
    }
    host.port = static_cast<uint16_t>(port);
    rest = rest.substr(0, colon);
  }
  host.below = absl::ConsumePrefix(&rest, "*.");
  std::optional<std::string> name = NormalizeName(rest);
  if (!name.has_value() || name->find_first_not_of("0123456789.") == std::string::npos) {
    return wrong("is no name of a host: a secret goes to names, which a certificate can prove");
  }
  // "*.com" would be everybody.
  if (host.below && name->find('.') == std::string::npos) {
    return wrong("is a whole top-level domain");
  }
  host.name = *std::move(name);
  return host;
}

}  // namespace msb::net
