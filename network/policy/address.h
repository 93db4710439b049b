// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// IP addresses, networks and their special purposes. Pure: no sockets.

#ifndef MSB_NETWORK_POLICY_ADDRESS_H_
#define MSB_NETWORK_POLICY_ADDRESS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace msb::net {

class IpAddress {
 public:
  IpAddress() = default;                  // ::
  static IpAddress V4(uint32_t address);  // host byte order: 0x7f000001 is 127.0.0.1
  // 4 or 16 bytes in network order. A mapped address (::ffff:0:0/96) becomes the IPv4 address that
  // the host would use for it.
  static IpAddress FromBytes(absl::Span<const uint8_t> bytes);
  static std::optional<IpAddress> Parse(absl::string_view text);

  bool is_v4() const;
  uint32_t v4() const;  // host byte order; only of an IPv4 address
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  // In network order, 4 or 16.
  absl::Span<const uint8_t> wire() const;
  std::string ToString() const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const IpAddress& address) {
    return H::combine(std::move(state), address.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_{};  // IPv4 as ::ffff:a.b.c.d
};

struct Cidr {
  IpAddress network;
  uint8_t prefix = 0;  // 0..32 for IPv4, 0..128

  bool Contains(const IpAddress& address) const;
  bool IsOneAddress() const { return prefix == (network.is_v4() ? 32 : 128); }
  std::string ToString() const;  // without "/32" or "/128"
  friend bool operator==(const Cidr&, const Cidr&) = default;
};
// "10.0.0.0/8", "fd00::/8", or an address alone. nullopt for anything else, also for bits behind
// the prefix.
std::optional<Cidr> ParseCidr(absl::string_view text);

// What an address is for (IANA's special-purpose registries); an address may be several.
enum class Group : uint8_t {
  kPublic,   // none of the others
  kPrivate,  // RFC 1918, 6598, 4193, and site-local
  kLoopback,
  kLinkLocal,
  kMetadata,   // where clouds tell a machine its secrets
  kMulticast,  // and broadcast
  kReserved,   // documentation, benchmarks, "this network", tunnels that no host should see
  kHost,       // an address of this host; only a Judge knows
  kMembers,    // another member of a private network, and no other group; only a Judge knows
};
inline constexpr int kGroups = 9;
absl::string_view GroupName(Group group);  // "private"
std::optional<Group> ParseGroup(absl::string_view name);

class GroupSet {
 public:
  void Add(Group group) { bits_ |= 1u << static_cast<int>(group); }
  bool Has(Group group) const { return (bits_ & 1u << static_cast<int>(group)) != 0; }
  void AddAll(GroupSet other) { bits_ |= other.bits_; }
  bool empty() const { return bits_ == 0; }
  // Where names lead, as their owners like: an address of the Internet that is not this host's.
  bool IsOfOthers() const { return Has(Group::kPublic) && !Has(Group::kHost); }

 private:
  uint32_t bits_ = 0;
};

// Without kHost and kMembers. An IPv6 address with an IPv4 address in it (NAT64, 6to4) is in that
// one's groups too.
GroupSet Classify(const IpAddress& address);

// Whether it names nobody: 0.0.0.0/8, and ::/96 but ::1. Linux connects who asks for 0.0.0.0 or ::
// to this host.
bool IsUnspecified(const IpAddress& address);

}  // namespace msb::net

#endif  // MSB_NETWORK_POLICY_ADDRESS_H_
