// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a guest may reach: a preset, and rules before it of which the first that matches decides.
// Pure: what it decides on is passed to it.

#ifndef MSB_NETWORK_POLICY_POLICY_H_
#define MSB_NETWORK_POLICY_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "network/policy/address.h"
#include "network/policy/rule.h"

namespace msb::net {

enum class Preset : uint8_t {
  kNone,    // nothing that no rule allows
  kPublic,  // the Internet: addresses in no special group
  kAll,     // everything, the host and its networks too
};
absl::string_view PresetName(Preset preset);  // "public"
absl::StatusOr<Preset> ParsePreset(absl::string_view name);

inline constexpr size_t kMaxRules = 1024;
inline constexpr int kPresetDecided = -1;

struct Policy {
  Preset preset = Preset::kPublic;
  std::vector<Rule> rules;

  bool HasNameRules() const;
};

// kInvalidArgument with the number of the rule, from 1, that cannot be understood.
absl::StatusOr<Policy> ParsePolicy(absl::string_view preset, absl::Span<const std::string> rules);

struct Request {
  Direction direction = Direction::kOut;
  Protocol protocol = Protocol::kTcp;
  GroupSet groups;  // of `address`
  IpAddress address;
  uint16_t port = 0;  // 0 for icmp
  // Out of the guest, where it names `address`, the host's loopback, by another one: a rule for
  // just that one means it too.
  std::optional<IpAddress> dialled;
  // Names that stand for `address`: that our resolver has given it for, or that the guest has said
  // itself (SNI).
  absl::Span<const std::string> names;
  // More of them, by which a flow was opened: what a rule allows by them stays allowed, and what
  // one denies may have been another's at the same address.
  absl::Span<const std::string> opened_by;
};

struct Verdict {
  Action action = Action::kDeny;
  int rule = kPresetDecided;  // index of what decided
  bool by_name = false;       // of a rule with a name: it holds only for that name
};

// A rule with a name opens no address of a special group: a name may lead anywhere, as its owner
// likes. An unspecified address is never gone to, whatever rule or preset opens.
Verdict Evaluate(const Policy& policy, const Request& request);

// Whether what is decided about an address still depends on the name that it is asked for.
enum class NameNeed : uint8_t {
  // No: a rule opens it by number, it is another member's of a private network, or it is open with
  // no denial by name before what opens it.
  kNone,
  // A name that is said may be one that is denied; none need be said, since the address is none
  // that names lead to.
  kIfSaid,
  // What says none, or hides it, may be for one that is denied.
  kAlways,
};
// `request`: its names do not matter here.
NameNeed NeedOfName(const Policy& policy, Request request);

// Whether `name` (normalized) may be looked up: unless a rule denies it whole. Under the preset
// none only if a rule names it, since a look-up carries words out by itself.
Verdict EvaluateLookup(const Policy& policy, absl::string_view name);

}  // namespace msb::net

#endif  // MSB_NETWORK_POLICY_POLICY_H_
