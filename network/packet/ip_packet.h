// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The IP packets and segments of a guest, taken apart. Everything in them is hostile: what a parser
// here returns has been checked against the bytes that are there. Pure.

#ifndef MSB_NETWORK_PACKET_IP_PACKET_H_
#define MSB_NETWORK_PACKET_IP_PACKET_H_

#include <array>
#include <cstdint>
#include <optional>

#include "network/packet/wire.h"
#include "network/policy/address.h"

namespace msb::net {

using Mac = std::array<uint8_t, 6>;

inline constexpr size_t kEthernetBytes = 14;
inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

struct IpPacket {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;  // behind the extension headers of IPv6
  uint8_t hop_limit = 0;
  Bytes payload;
  Bytes whole;  // from the IP header on, without what Ethernet padded
};
// Of the bytes behind the Ethernet header. nullopt for what is malformed, a fragment, source
// routed, or uses an IPv4-mapped address on the wire.
std::optional<IpPacket> ParseIpv4(Bytes bytes);
std::optional<IpPacket> ParseIpv6(Bytes bytes);

// RFC 9293, section 3.1.
inline constexpr uint8_t kTcpFin = 1;
inline constexpr uint8_t kTcpSyn = 2;
inline constexpr uint8_t kTcpRst = 4;
inline constexpr uint8_t kTcpPsh = 8;
inline constexpr uint8_t kTcpAck = 16;
struct TcpSegment {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  uint16_t mss = 0;          // 0: not said
  int8_t window_scale = -1;  // -1: not said
  Bytes payload;
};
std::optional<TcpSegment> ParseTcp(Bytes bytes);

struct UdpDatagram {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  Bytes payload;
};
std::optional<UdpDatagram> ParseUdp(Bytes bytes);

// An echo request or reply of either version.
struct IcmpEcho {
  uint8_t type = 0;
  uint16_t id = 0;
  uint16_t sequence = 0;
  Bytes data;
};
std::optional<IcmpEcho> ParseEcho(Bytes bytes);

}  // namespace msb::net

#endif  // MSB_NETWORK_PACKET_IP_PACKET_H_
