// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/policy/rule.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr size_t kMaxNameBytes = 253;  // RFC 1035, 2.3.4, without the last dot
constexpr size_t kMaxLabelBytes = 63;

absl::Status Wrong(absl::string_view what) {
  return MakeError(Reason::kInvalidArgument, absl::StrCat("network rule: ", EscapeForLog(what)));
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

absl::StatusOr<std::vector<PortRange>> ParsePorts(absl::string_view text) {
  std::vector<PortRange> ports;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    uint32_t first = 0;
    uint32_t last = 0;
    if (!IsNumber(ends.front()) || !IsNumber(ends.back()) ||
        !absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) ||
        first < 1 || last < first || last > UINT16_MAX) {
      return Wrong(absl::StrCat("\"", part, "\" is no port of 1..65535 and no range of them"));
    }
    ports.push_back({static_cast<uint16_t>(first), static_cast<uint16_t>(last)});
  }
  if (ports.size() > kMaxPortRanges) {
    return Wrong(absl::StrCat("at most ", kMaxPortRanges, " port ranges"));
  }
  return ports;
}

bool LooksLikePorts(absl::string_view text) {
  return !text.empty() && absl::ascii_isdigit(text[0]) &&
         text.find_first_not_of("0123456789,-") == absl::string_view::npos;
}

absl::StatusOr<Target> ParseTarget(absl::string_view text) {
  Target target;
  if (text == "any" || text == "*") return target;
  if (absl::ConsumePrefix(&text, "@")) {
    const std::optional<Group> group = ParseGroup(text);
    if (!group.has_value()) return Wrong(absl::StrCat("there is no group @", text));
    target.kind = Target::Kind::kGroup;
    target.group = *group;
    return target;
  }
  absl::string_view address = text;
  if (absl::ConsumePrefix(&address, "[") && !absl::ConsumeSuffix(&address, "]")) {
    return Wrong(absl::StrCat("\"", text, "\" has no closing bracket"));
  }
  if (const std::optional<Cidr> cidr = ParseCidr(address); cidr.has_value()) {
    target.kind = Target::Kind::kNetwork;
    target.network = *cidr;
    return target;
  }
  target.kind = Target::Kind::kName;
  if (absl::ConsumePrefix(&text, "*.")) {
    target.kind = Target::Kind::kBelow;
  } else if (absl::ConsumePrefix(&text, ".")) {
    target.kind = Target::Kind::kNameAndBelow;
  }
  std::optional<std::string> name = NormalizeName(text);
  // All digits and dots was meant as an address.
  if (!name.has_value() || name->find_first_not_of("0123456789.") == std::string::npos) {
    return Wrong(absl::StrCat("\"", text, "\" is no address, network, name or group"));
  }
  target.name = *std::move(name);
  return target;
}

// "host:443", "[fd00::1]:443"; an IPv6 address without brackets has no port.
std::pair<absl::string_view, absl::string_view> SplitPorts(absl::string_view word) {
  const size_t colon = word.rfind(':');
  if (colon == absl::string_view::npos) return {word, ""};
  const bool bracketed = colon > 0 && word[colon - 1] == ']';
  if (!bracketed && word.find(':') != colon) return {word, ""};
  return {word.substr(0, colon), word.substr(colon + 1)};
}

std::string TargetText(const Target& target) {
  switch (target.kind) {
    case Target::Kind::kAny:
      return "any";
    case Target::Kind::kNetwork:
      return target.network.ToString();
    case Target::Kind::kName:
      return target.name;
    case Target::Kind::kBelow:
      return "*." + target.name;
    case Target::Kind::kNameAndBelow:
      return "." + target.name;
    case Target::Kind::kGroup:
      return absl::StrCat("@", GroupName(target.group));
  }
  return "";
}

}  // namespace

std::optional<std::string> NormalizeName(absl::string_view name) {
  absl::ConsumeSuffix(&name, ".");
  if (name.empty() || name.size() > kMaxNameBytes) return std::nullopt;
  for (const absl::string_view label : absl::StrSplit(name, '.')) {
    const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; };
    if (label.empty() || label.size() > kMaxLabelBytes || label.front() == '-' ||
        label.back() == '-' || !std::all_of(label.begin(), label.end(), allowed)) {
      return std::nullopt;
    }
  }
  return absl::AsciiStrToLower(name);
}

bool Target::MatchesName(absl::string_view candidate) const {
  if (!is_name()) return false;
  if (candidate == name) return kind != Kind::kBelow;
  if (kind == Kind::kName) return false;
  return absl::ConsumeSuffix(&candidate, name) && absl::EndsWith(candidate, ".");
}

bool Rule::MatchesPort(uint16_t port) const {
  if (ports.empty()) return true;
  return std::any_of(ports.begin(), ports.end(), [port](const PortRange& range) {
    return port >= range.first && port <= range.last;
  });
}

std::string Rule::ToString() const {
  std::string text = action == Action::kAllow ? "allow" : "deny";
  absl::StrAppend(&text, direction == Direction::kOut ? " out" : " in");
  if (protocol == Protocol::kTcp) text += " tcp";
  if (protocol == Protocol::kUdp) text += " udp";
  if (protocol == Protocol::kIcmp) text += " icmp";
  absl::StrAppend(&text, " ", TargetText(target));
  if (!ports.empty()) {
    absl::StrAppend(&text, " ", absl::StrJoin(ports, ",", [](std::string* out, PortRange range) {
      absl::StrAppend(out, range.first);
      if (range.last != range.first) absl::StrAppend(out, "-", range.last);
    }));
  }
  return text;
}

absl::StatusOr<Rule> ParseRule(absl::string_view text) {
  if (text.size() > kMaxRuleBytes) return Wrong(absl::StrCat("longer than ", kMaxRuleBytes));
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  Rule rule;
  size_t at = 0;
  const auto take = [&](absl::string_view word) {
    if (at >= words.size() || words[at] != word) return false;
    ++at;
    return true;
  };
  if (take("deny")) {
    rule.action = Action::kDeny;
  } else if (!take("allow")) {
    return Wrong(absl::StrCat("\"", text, "\" does not begin with allow or deny"));
  }
  if (take("in")) {
    rule.direction = Direction::kIn;
  } else {
    take("out");
  }
  if (take("tcp")) {
    rule.protocol = Protocol::kTcp;
  } else if (take("udp")) {
    rule.protocol = Protocol::kUdp;
  } else if (take("icmp")) {
    rule.protocol = Protocol::kIcmp;
  }
  if (at >= words.size()) return Wrong(absl::StrCat("\"", text, "\" names no target"));
  auto [target, ports] = SplitPorts(words[at++]);
  MSB_ASSIGN_OR_RETURN(rule.target, ParseTarget(target));
  if (at < words.size() && ports.empty() && LooksLikePorts(words[at])) ports = words[at++];
  if (at < words.size()) return Wrong(absl::StrCat("\"", words[at], "\" is one word too many"));
  if (!ports.empty()) {
    MSB_ASSIGN_OR_RETURN(rule.ports, ParsePorts(ports));
    if (rule.protocol == Protocol::kIcmp) return Wrong("icmp has no ports");
  }
  if (rule.direction == Direction::kIn && rule.target.is_name()) {
    return Wrong("who connects to the guest has an address, no name");
  }
  return rule;
}

}  // namespace msb::net
