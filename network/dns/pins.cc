// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/dns/pins.h"

#include <algorithm>

namespace msb::net {

void NamePins::Pin(const std::string& name, absl::Span<const IpAddress> addresses,
                   uint32_t ttl_seconds, absl::Time now) {
  const absl::Time expires = now + std::clamp(absl::Seconds(ttl_seconds), kShortest, kLongest);
  for (const IpAddress& address : addresses) {
    std::vector<Entry>& names = entries_[address];
    const auto known = std::find_if(names.begin(), names.end(),
                                    [&](const Entry& entry) { return entry.name == name; });
    if (known != names.end()) {
      known->expires = expires;
      ages_.splice(ages_.end(), ages_, known->age);
      continue;
    }
    if (names.size() >= limits_.names_of_address) {
      ages_.erase(names.front().age);
      names.erase(names.begin());
    }
    ages_.push_back({address, name});
    names.push_back({name, expires, std::prev(ages_.end())});
    if (ages_.size() > limits_.names) DropOldest();
  }
}

void NamePins::DropOldest() {
  const Age oldest = ages_.front();
  const auto found = entries_.find(oldest.address);
  std::vector<Entry>& names = found->second;
  names.erase(std::find_if(names.begin(), names.end(),
                           [&](const Entry& entry) { return entry.name == oldest.name; }));
  if (names.empty()) entries_.erase(found);
  ages_.pop_front();
}

std::vector<std::string> NamePins::NamesOf(const IpAddress& address, absl::Time now) const {
  std::vector<std::string> names;
  const auto found = entries_.find(address);
  if (found == entries_.end()) return names;
  for (const Entry& entry : found->second) {
    if (entry.expires > now) names.push_back(entry.name);
  }
  return names;
}

}  // namespace msb::net
