// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/policy/policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb::net {
namespace {

bool MatchesNetwork(const Cidr& network, const Request& request) {
  // A larger network that the gateway happens to be in does not mean the host.
  return network.Contains(request.address) ||
         (request.dialled.has_value() && network.IsOneAddress() &&
          network.Contains(*request.dialled));
}

bool MatchesName(const Target& target, absl::Span<const std::string> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return target.MatchesName(name); });
}

bool MatchesTarget(const Rule& rule, const Request& request) {
  switch (rule.target.kind) {
    case Target::Kind::kAny:
      return true;
    case Target::Kind::kNetwork:
      return MatchesNetwork(rule.target.network, request);
    case Target::Kind::kGroup:
      return request.groups.Has(rule.target.group);
    case Target::Kind::kName:
    case Target::Kind::kBelow:
    case Target::Kind::kNameAndBelow:
      return MatchesName(rule.target, request.names) ||
             (rule.action == Action::kAllow && MatchesName(rule.target, request.opened_by));
  }
  return false;
}

// But for whom the rule is about.
bool IsOfKind(const Rule& rule, const Request& request) {
  if (rule.direction != request.direction) return false;
  if (rule.protocol != Protocol::kAny && rule.protocol != request.protocol) return false;
  // A rule with ports says nothing of what has none.
  return request.protocol == Protocol::kIcmp ? rule.ports.empty() : rule.MatchesPort(request.port);
}

bool Matches(const Rule& rule, const Request& request) {
  if (!IsOfKind(rule, request)) return false;
  const bool opens_by_name = rule.target.is_name() && rule.action == Action::kAllow;
  if (opens_by_name && !request.groups.IsOfOthers()) return false;
  return MatchesTarget(rule, request);
}

Action ByPreset(Preset preset, const Request& request) {
  // A port was published for somebody to come in.
  if (request.direction == Direction::kIn || preset == Preset::kAll) return Action::kAllow;
  // Who names a network at its creation means to reach it.
  if (request.groups.Has(Group::kMembers)) return Action::kAllow;
  if (preset == Preset::kNone) return Action::kDeny;
  return request.groups.IsOfOthers() ? Action::kAllow : Action::kDeny;
}

}  // namespace

absl::string_view PresetName(Preset preset) {
  switch (preset) {
    case Preset::kNone:
      return "none";
    case Preset::kPublic:
      return "public";
    case Preset::kAll:
      return "all";
  }
  return "";
}

absl::StatusOr<Preset> ParsePreset(absl::string_view name) {
  for (const Preset preset : {Preset::kNone, Preset::kPublic, Preset::kAll}) {
    if (PresetName(preset) == name) return preset;
  }
  return MakeError(Reason::kInvalidArgument, "a network is none, public or all");
}

bool Policy::HasNameRules() const {
  return std::any_of(rules.begin(), rules.end(),
                     [](const Rule& rule) { return rule.target.is_name(); });
}

absl::StatusOr<Policy> ParsePolicy(absl::string_view preset, absl::Span<const std::string> rules) {
  Policy policy;
  const absl::StatusOr<Preset> parsed = ParsePreset(preset);
  if (!parsed.ok()) return parsed.status();
  policy.preset = *parsed;
  if (rules.size() > kMaxRules) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("at most ", kMaxRules, " rules"));
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    absl::StatusOr<Rule> rule = ParseRule(rules[i]);
    if (!rule.ok()) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("rule ", i + 1, ": ", rule.status().message()));
    }
    policy.rules.push_back(*std::move(rule));
  }
  return policy;
}

Verdict Evaluate(const Policy& policy, const Request& request) {
  if (request.direction == Direction::kOut && IsUnspecified(request.address)) return {};
  for (size_t i = 0; i < policy.rules.size(); ++i) {
    const Rule& rule = policy.rules[i];
    if (!Matches(rule, request)) continue;
    return {rule.action, static_cast<int>(i), rule.target.is_name()};
  }
  return {ByPreset(policy.preset, request), kPresetDecided, false};
}

NameNeed NeedOfName(const Policy& policy, Request request) {
  if (request.direction == Direction::kIn || request.groups.Has(Group::kMembers)) {
    return NameNeed::kNone;
  }
  request.names = request.opened_by = {};
  const Verdict nameless = Evaluate(policy, request);
  if (nameless.action == Action::kDeny) return NameNeed::kAlways;
  auto decider = policy.rules.end();
  if (nameless.rule != kPresetDecided) {
    decider = policy.rules.begin() + nameless.rule;
    if (decider->target.kind == Target::Kind::kNetwork) return NameNeed::kNone;
  }
  const bool denied = std::any_of(policy.rules.begin(), decider, [&](const Rule& rule) {
    return rule.action == Action::kDeny && rule.target.is_name() && IsOfKind(rule, request);
  });
  if (!denied) return NameNeed::kNone;
  return request.groups.IsOfOthers() ? NameNeed::kAlways : NameNeed::kIfSaid;
}

Verdict EvaluateLookup(const Policy& policy, absl::string_view name) {
  for (size_t i = 0; i < policy.rules.size(); ++i) {
    const Rule& rule = policy.rules[i];
    if (rule.direction != Direction::kOut) continue;
    const bool whole = rule.ports.empty() && rule.protocol == Protocol::kAny;
    if (rule.target.MatchesName(name) && (rule.action == Action::kAllow || whole)) {
      return {rule.action, static_cast<int>(i), true};
    }
    if (rule.target.kind == Target::Kind::kAny && (rule.action == Action::kAllow || whole)) {
      return {rule.action, static_cast<int>(i), false};
    }
  }
  return {policy.preset == Preset::kNone ? Action::kDeny : Action::kAllow, kPresetDecided, false};
}

}  // namespace msb::net
