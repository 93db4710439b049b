// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Frames for the guest: Ethernet, IP and transport headers with their checksums. The payload stays
// where it is and follows the header on the wire.

#ifndef MSB_NETWORK_PACKET_FRAME_BUILDER_H_
#define MSB_NETWORK_PACKET_FRAME_BUILDER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "network/packet/ip_packet.h"
#include "network/packet/wire.h"
#include "network/policy/address.h"

namespace msb::net {

// Bytes that several may hold: a segment that waits for its acknowledgement, and the queue of the
// link.
struct Payload {
  std::shared_ptr<const uint8_t[]> block;
  uint32_t offset = 0;
  uint32_t size = 0;

  Bytes bytes() const { return {block.get() + offset, size}; }
};

struct Frame {
  static constexpr size_t kMaxHeaderBytes = 14 + 40 + 32;
  uint8_t header[kMaxHeaderBytes];
  uint8_t header_size = 0;
  Payload payload;

  size_t size() const { return header_size + payload.size; }
};

// Of UDP with the longer of its IP headers, that of IPv6: what a datagram takes of an MTU beside
// its payload.
inline constexpr size_t kUdpOverheadBytes = 40 + 8;

// The two ends of the link.
struct LinkAddresses {
  Mac guest_mac{};
  Mac gateway_mac{};
};

struct TcpHeader {
  IpAddress source;
  IpAddress destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  uint16_t mss = 0;          // 0: without the options of a SYN
  int8_t window_scale = -1;  // with mss only
};

Frame BuildTcp(const LinkAddresses& link, const TcpHeader& header, Payload payload = {});
Frame BuildUdp(const LinkAddresses& link, const IpAddress& source, uint16_t source_port,
               const IpAddress& destination, uint16_t destination_port, Payload payload);
// `message` is the ICMP message of the addresses' version from its type on, its checksum zero.
Frame BuildIcmp(const LinkAddresses& link, const IpAddress& source, const IpAddress& destination,
                std::string message);
enum class Unreachable {
  kPort,  // nobody listens there
  kHost,
  kProhibited,  // the policy says no
};
// Answers `packet`, of the guest, from `source`.
Frame BuildUnreachable(const LinkAddresses& link, Unreachable why, const IpAddress& source,
                       const IpPacket& packet);
// As it is, behind an Ethernet header.
Frame BuildRaw(const LinkAddresses& link, uint16_t ether_type, std::string bytes);

Payload MakePayload(Bytes bytes);

}  // namespace msb::net

#endif  // MSB_NETWORK_PACKET_FRAME_BUILDER_H_
