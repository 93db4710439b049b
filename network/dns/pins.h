// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which names stand for an address: those that our resolver has given it for, for as long as the
// answer said, or a little longer. Bounded; the oldest go first.

#ifndef MSB_NETWORK_DNS_PINS_H_
#define MSB_NETWORK_DNS_PINS_H_

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "network/policy/address.h"

namespace msb::net {

class NamePins {
 public:
  // Programs connect some time behind the look-up; names with a TTL of seconds would be lost to
  // them.
  static constexpr absl::Duration kShortest = absl::Minutes(5);
  static constexpr absl::Duration kLongest = absl::Hours(24);
  struct Limits {
    size_t names = 8192;  // each with one address
    size_t names_of_address = 32;
  };

  // Before the first Pin.
  void set_limits(const Limits& limits) { limits_ = limits; }
  void Pin(const std::string& name, absl::Span<const IpAddress> addresses, uint32_t ttl_seconds,
           absl::Time now);
  // Those that hold at `now`.
  std::vector<std::string> NamesOf(const IpAddress& address, absl::Time now) const;
  size_t size() const { return ages_.size(); }

 private:
  struct Age {
    IpAddress address;
    std::string name;
  };
  struct Entry {
    std::string name;
    absl::Time expires;
    std::list<Age>::iterator age;
  };
  void DropOldest();

  Limits limits_;
  absl::flat_hash_map<IpAddress, std::vector<Entry>> entries_;
  std::list<Age> ages_;  // the oldest first
};

}  // namespace msb::net

#endif  // MSB_NETWORK_DNS_PINS_H_
