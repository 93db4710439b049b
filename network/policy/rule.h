// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One rule of a policy, and its text form (docs/network.md):
//
//   allow|deny [out|in] [tcp|udp|icmp] TARGET[:PORTS] [PORTS]
//
//   TARGET  any | ADDRESS | NETWORK/PREFIX | NAME | *.NAME | .NAME | @GROUP
//   PORTS   443 | 8000-8100 | 80,443
//
// "*.example.com" is every name below example.com, ".example.com" that name too. An IPv6 address
// before a colon stands in brackets.

#ifndef MSB_NETWORK_POLICY_RULE_H_
#define MSB_NETWORK_POLICY_RULE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "network/policy/address.h"

namespace msb::net {

enum class Action : uint8_t { kAllow, kDeny };
enum class Direction : uint8_t { kOut, kIn };
enum class Protocol : uint8_t { kAny, kTcp, kUdp, kIcmp };

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct Target {
  enum class Kind : uint8_t { kAny, kNetwork, kName, kBelow, kNameAndBelow, kGroup };
  Kind kind = Kind::kAny;
  Cidr network;
  std::string name;  // lower case, without a dot at either end
  Group group = Group::kPublic;

  bool is_name() const {
    return kind == Kind::kName || kind == Kind::kBelow || kind == Kind::kNameAndBelow;
  }
  // Of a name in lower case, without a dot at its end.
  bool MatchesName(absl::string_view candidate) const;
  friend bool operator==(const Target&, const Target&) = default;
};

inline constexpr size_t kMaxRuleBytes = 512;
inline constexpr size_t kMaxPortRanges = 32;

struct Rule {
  Action action = Action::kAllow;
  Direction direction = Direction::kOut;
  Protocol protocol = Protocol::kAny;
  Target target;
  std::vector<PortRange> ports;  // empty: every port

  bool MatchesPort(uint16_t port) const;
  // The canonical text; ParseRule takes it back.
  std::string ToString() const;
  friend bool operator==(const Rule&, const Rule&) = default;
};

// kInvalidArgument says which word is wrong. Names are host names of RFC 1123, also with "_".
absl::StatusOr<Rule> ParseRule(absl::string_view text);

// Lower case, without a dot at the end; nullopt for what is no host name.
std::optional<std::string> NormalizeName(absl::string_view name);

}  // namespace msb::net

#endif  // MSB_NETWORK_POLICY_RULE_H_
