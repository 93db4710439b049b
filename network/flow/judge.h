// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The policy in force, with all that a decision needs beside the packet: the names that were given
// out, and the host's own addresses.

#ifndef MSB_NETWORK_FLOW_JUDGE_H_
#define MSB_NETWORK_FLOW_JUDGE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "network/dns/pins.h"
#include "network/policy/policy.h"
#include "network/tls/client_hello.h"

namespace msb::net {

class Judge {
 public:
  void SetPolicy(Policy policy);
  const Policy& policy() const { return policy_; }
  // TLS is asked for its name, and other ways to hide one are closed.
  bool names_matter() const { return names_matter_; }
  // Names matter, too, where secrets go by them.
  void SetSecrets(bool any);
  // Whether our resolver has given `address` out for `name`.
  bool IsKnown(const IpAddress& address, const std::string& name, absl::Time now) const;

  // Whether an address is another member's of a private network. Set once; nullptr: none is.
  void set_is_member(std::function<bool(const IpAddress&)> is_member) {
    is_member_ = std::move(is_member);
  }
  // What an address that the guest dials stands for, the host's loopback for the gateway's. Set
  // once; nullptr: itself.
  void set_behind(std::function<IpAddress(const IpAddress&)> behind) {
    behind_ = std::move(behind);
  }
  void SetHostAddresses(std::vector<IpAddress> addresses);
  NamePins& pins() { return pins_; }

  struct Decision {
    Verdict verdict;
    std::string name;                // of the address, where one is known
    std::string detail;              // why, where the verdict alone does not say it
    bool checks_name = false;        // it is let pass as far as its name is one that may
    std::vector<std::string> names;  // that our resolver has given the address for
  };
  // `address`: of the other side; out of the guest, as it dials it. `kept`: names that the address
  // had when the flow began: what opened it then opens it as long as it lasts. Denials see only
  // those that the address has now.
  Decision Decide(Direction direction, Protocol protocol, const IpAddress& address, uint16_t port,
                  absl::Time now, absl::Span<const std::string> kept = {}) const;
  // Of a TCP connection to `address` whose client has begun with `hello`, which is some TLS: by the
  // name in it alone, whoever shares the address.
  Decision DecideHello(const IpAddress& address, uint16_t port, const ClientHello& hello,
                       absl::Time now, absl::Span<const std::string> kept = {}) const;
  // Whether the resolver may give `address` out.
  bool MayAnswerWith(const IpAddress& address) const;

 private:
  GroupSet GroupsOf(const IpAddress& address) const;
  // Without names.
  Request RequestOf(Direction direction, Protocol protocol, const IpAddress& address,
                    uint16_t port) const;
  // With secrets no name may be hidden, whatever the rules.
  bool MustShowName(const Request& request, const Verdict& verdict) const;

  Policy policy_;
  bool names_matter_ = false;
  bool any_secrets_ = false;
  absl::flat_hash_set<IpAddress> host_addresses_;
  std::function<bool(const IpAddress&)> is_member_;
  std::function<IpAddress(const IpAddress&)> behind_;
  NamePins pins_;
};

// Tells `judge` the addresses of all interfaces, by the kernel, which needs no privilege for it.
// When that fails, those that it knows stay: without them the host's own would pass for the
// Internet's.
absl::Status ReadHostAddresses(Judge& judge);

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_JUDGE_H_
