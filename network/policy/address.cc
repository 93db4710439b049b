// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/policy/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace msb::net {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool EqualBits(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b, int bits) {
  const auto whole = static_cast<size_t>(bits / 8);
  if (!std::equal(a.begin(), a.begin() + static_cast<ptrdiff_t>(whole), b.begin())) return false;
  if (bits % 8 == 0) return true;
  const int shift = 8 - bits % 8;
  return a[whole] >> shift == b[whole] >> shift;
}

struct Special {
  const char* network;
  Group group;
};
// First the more special: all that match count.
constexpr Special kSpecial[] = {
    {"127.0.0.0/8", Group::kLoopback},
    {"::1", Group::kLoopback},
    {"10.0.0.0/8", Group::kPrivate},
    {"172.16.0.0/12", Group::kPrivate},
    {"192.168.0.0/16", Group::kPrivate},
    {"100.64.0.0/10", Group::kPrivate},
    {"fc00::/7", Group::kPrivate},
    {"fec0::/10", Group::kPrivate},
    {"64:ff9b:1::/48", Group::kPrivate},
    {"169.254.0.0/16", Group::kLinkLocal},
    {"fe80::/10", Group::kLinkLocal},
    // Amazon, Google, Azure and most others; containers at Amazon; Alibaba; Oracle; Azure's agent.
    {"169.254.169.254", Group::kMetadata},
    {"169.254.170.2", Group::kMetadata},
    {"fd00:ec2::254", Group::kMetadata},
    {"fd20:ce::254", Group::kMetadata},
    {"100.100.100.200", Group::kMetadata},
    {"192.0.0.192", Group::kMetadata},
    {"168.63.129.16", Group::kMetadata},
    {"224.0.0.0/4", Group::kMulticast},
    {"255.255.255.255", Group::kMulticast},
    {"ff00::/8", Group::kMulticast},
    {"0.0.0.0/8", Group::kReserved},
    {"192.0.0.0/24", Group::kReserved},
    {"192.0.2.0/24", Group::kReserved},
    {"192.88.99.0/24", Group::kReserved},
    {"198.18.0.0/15", Group::kReserved},
    {"198.51.100.0/24", Group::kReserved},
    {"203.0.113.0/24", Group::kReserved},
    {"240.0.0.0/4", Group::kReserved},
    {"::/96", Group::kReserved},
    {"100::/64", Group::kReserved},
    {"2001::/23", Group::kReserved},  // Teredo, benchmarks, ORCHID
    {"2001:db8::/32", Group::kReserved},
    {"3fff::/20", Group::kReserved},
    {"5f00::/16", Group::kReserved},
};

struct SpecialNetwork {
  Cidr cidr;
  Group group;
};

const std::array<SpecialNetwork, std::size(kSpecial)>& SpecialNetworks() {
  static const auto* const networks = [] {
    auto* made = new std::array<SpecialNetwork, std::size(kSpecial)>;
    for (size_t i = 0; i < made->size(); ++i) {
      (*made)[i] = {*ParseCidr(kSpecial[i].network), kSpecial[i].group};
    }
    return made;
  }();
  return *networks;
}

// Where the IPv4 address stands within an address of a translator or a tunnel.
std::optional<IpAddress> EmbeddedV4(const IpAddress& address) {
  static const Cidr nat64 = *ParseCidr("64:ff9b::/96");
  static const Cidr six_to_four = *ParseCidr("2002::/16");
  const auto bytes = absl::MakeConstSpan(address.bytes());
  if (nat64.Contains(address)) return IpAddress::FromBytes(bytes.subspan(12, 4));
  if (six_to_four.Contains(address)) return IpAddress::FromBytes(bytes.subspan(2, 4));
  return std::nullopt;
}

constexpr absl::string_view kGroupNames[kGroups] = {"public",    "private",  "loopback",
                                                    "linklocal", "metadata", "multicast",
                                                    "reserved",  "host",     "members"};

}  // namespace

IpAddress IpAddress::V4(uint32_t address) {
  const uint8_t bytes[4] = {static_cast<uint8_t>(address >> 24),
                            static_cast<uint8_t>(address >> 16), static_cast<uint8_t>(address >> 8),
                            static_cast<uint8_t>(address)};
  return FromBytes(bytes);
}

IpAddress IpAddress::FromBytes(absl::Span<const uint8_t> bytes) {
  IpAddress address;
  if (bytes.size() == 4) {
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes_.begin());
    std::copy(bytes.begin(), bytes.end(), address.bytes_.begin() + kMappedPrefix.size());
  } else if (bytes.size() == 16) {
    std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  }
  return address;
}

std::optional<IpAddress> IpAddress::Parse(absl::string_view text) {
  const std::string name(text);
  uint8_t bytes[16];
  if (::inet_pton(AF_INET, name.c_str(), bytes) == 1) {
    return FromBytes(absl::MakeConstSpan(bytes, 4));
  }
  if (::inet_pton(AF_INET6, name.c_str(), bytes) == 1) return FromBytes(bytes);
  return std::nullopt;
}

bool IpAddress::is_v4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

uint32_t IpAddress::v4() const {
  return uint32_t{bytes_[12]} << 24 | uint32_t{bytes_[13]} << 16 | uint32_t{bytes_[14]} << 8 |
         bytes_[15];
}

absl::Span<const uint8_t> IpAddress::wire() const {
  const auto all = absl::MakeConstSpan(bytes_);
  return is_v4() ? all.subspan(kMappedPrefix.size()) : all;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(is_v4() ? AF_INET : AF_INET6, wire().data(), text, sizeof(text));
  return text;
}

bool Cidr::Contains(const IpAddress& address) const {
  return address.is_v4() == network.is_v4() && EqualBits(address.wire(), network.wire(), prefix);
}

std::string Cidr::ToString() const {
  if (IsOneAddress()) return network.ToString();
  return absl::StrCat(network.ToString(), "/", prefix);
}

std::optional<Cidr> ParseCidr(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  if (!address.has_value()) return std::nullopt;
  const uint32_t most = address->is_v4() ? 32 : 128;
  uint32_t prefix = most;
  if (slash != absl::string_view::npos &&
      (!absl::SimpleAtoi(text.substr(slash + 1), &prefix) || prefix > most)) {
    return std::nullopt;
  }
  const Cidr cidr{*address, static_cast<uint8_t>(prefix)};
  // Somebody who writes 10.1.2.3/8 has something else in mind.
  const absl::Span<const uint8_t> bytes = address->wire();
  for (size_t bit = prefix; bit < most; ++bit) {
    if ((bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) return std::nullopt;
  }
  return cidr;
}

absl::string_view GroupName(Group group) { return kGroupNames[static_cast<size_t>(group)]; }

std::optional<Group> ParseGroup(absl::string_view name) {
  for (int i = 0; i < kGroups; ++i) {
    if (kGroupNames[i] == name) return static_cast<Group>(i);
  }
  return std::nullopt;
}

GroupSet Classify(const IpAddress& address) {
  GroupSet groups;
  for (const SpecialNetwork& special : SpecialNetworks()) {
    if (special.cidr.Contains(address)) groups.Add(special.group);
  }
  if (const std::optional<IpAddress> inner = EmbeddedV4(address); inner.has_value()) {
    const GroupSet of_inner = Classify(*inner);
    if (!of_inner.Has(Group::kPublic)) groups.AddAll(of_inner);
  }
  if (groups.empty()) groups.Add(Group::kPublic);
  return groups;
}

bool IsUnspecified(const IpAddress& address) {
  static const Cidr this_network = *ParseCidr("0.0.0.0/8");
  static const Cidr compatible = *ParseCidr("::/96");
  static const IpAddress loopback = *IpAddress::Parse("::1");
  if (const std::optional<IpAddress> inner = EmbeddedV4(address); inner.has_value()) {
    return IsUnspecified(*inner);
  }
  return this_network.Contains(address) || (compatible.Contains(address) && address != loopback);
}

}  // namespace msb::net
