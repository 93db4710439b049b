// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/address_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace msb::image {
namespace {

struct Range4 {
  uint32_t prefix;
  int bits;
  Reach reach;
};

constexpr uint32_t Ip4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return (a << 24) | (b << 16) | (c << 8) | d;
}

// The first range that holds an address decides.
constexpr Range4 kRanges4[] = {
    {Ip4(0, 0, 0, 0), 8, Reach::kLoopback},
    {Ip4(127, 0, 0, 0), 8, Reach::kLoopback},
    {Ip4(169, 254, 0, 0), 16, Reach::kForbidden},
    {Ip4(168, 63, 129, 16), 32, Reach::kForbidden},    // Azure's wire server
    {Ip4(100, 100, 100, 200), 32, Reach::kForbidden},  // Alibaba's metadata
    {Ip4(10, 0, 0, 0), 8, Reach::kPrivate},
    {Ip4(172, 16, 0, 0), 12, Reach::kPrivate},
    {Ip4(192, 168, 0, 0), 16, Reach::kPrivate},
    {Ip4(100, 64, 0, 0), 10, Reach::kPrivate},
    {Ip4(198, 18, 0, 0), 15, Reach::kPrivate},
    {Ip4(224, 0, 0, 0), 3, Reach::kForbidden},  // multicast, reserved, broadcast
};

Reach ReachOf4(uint32_t address) {
  for (const Range4& range : kRanges4) {
    if ((address ^ range.prefix) >> (32 - range.bits) == 0) return range.reach;
  }
  return Reach::kPublic;
}

using Ip6 = std::array<uint8_t, 16>;

uint32_t Ip4At(const Ip6& address, size_t offset) {
  return Ip4(address[offset], address[offset + 1], address[offset + 2], address[offset + 3]);
}

bool StartsWith(const Ip6& address, absl::Span<const uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

Reach ReachOf6(const Ip6& address) {
  constexpr uint8_t kMapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  constexpr uint8_t kNat64[] = {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0};
  constexpr uint8_t kAmazonMetadata[] = {0xfd, 0x00, 0x0e, 0xc2};
  constexpr Ip6 kZeroes{};
  if (StartsWith(address, kMapped) || StartsWith(address, kNat64)) {
    return ReachOf4(Ip4At(address, 12));
  }
  if (address[0] == 0x20 && address[1] == 0x02) return ReachOf4(Ip4At(address, 2));  // 6to4
  if (std::equal(address.begin(), address.begin() + 12, kZeroes.begin())) {
    return Reach::kLoopback;  // ::, ::1, and what was once "IPv4-compatible"
  }
  if (address[0] == 0xfe) return Reach::kForbidden;  // link-local, site-local
  if (address[0] == 0xff) return Reach::kForbidden;
  if (StartsWith(address, kAmazonMetadata)) return Reach::kForbidden;
  if ((address[0] & 0xfe) == 0xfc) return Reach::kPrivate;
  return Reach::kPublic;
}

}  // namespace

Reach ReachOf(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    return ReachOf4(ntohl(in.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, &address, sizeof in6);
    Ip6 bytes;
    std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
    return ReachOf6(bytes);
  }
  return Reach::kForbidden;
}

std::string NumericName(const sockaddr& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address.sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
  } else if (address.sa_family == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, &address, sizeof in6);
    ::inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
  }
  return text;
}

}  // namespace msb::image
