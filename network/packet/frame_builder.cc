// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/packet/frame_builder.h"

#include <algorithm>
#include <utility>

namespace msb::net {
namespace {

constexpr uint8_t kHopLimit = 64;
constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kTcpBytes = 20;
constexpr size_t kSynOptionBytes = 8;
constexpr size_t kUdpBytes = 8;
// RFC 4443, 2.4(c) and RFC 1812, 4.3.2.3: what an error quotes.
constexpr size_t kMaxQuoteV4 = 576 - kIpv4Bytes - 8;
constexpr size_t kMaxQuoteV6 = 1280 - kIpv6Bytes - 8;

void PutEthernet(const LinkAddresses& link, uint16_t type, Frame& frame) {
  std::copy(link.guest_mac.begin(), link.guest_mac.end(), frame.header);
  std::copy(link.gateway_mac.begin(), link.gateway_mac.end(), frame.header + 6);
  Store16(type, frame.header + 12);
  frame.header_size = kEthernetBytes;
}

// `length`: of all that follows the IP header. Returns where the next header begins.
uint8_t* PutIp(const LinkAddresses& link, const IpAddress& source, const IpAddress& destination,
               uint8_t protocol, size_t length, Frame& frame) {
  const bool v4 = destination.is_v4();
  PutEthernet(link, v4 ? kEtherTypeIpv4 : kEtherTypeIpv6, frame);
  uint8_t* const ip = frame.header + kEthernetBytes;
  std::fill_n(ip, kIpv6Bytes, uint8_t{0});
  if (!v4) {
    ip[0] = 6 << 4;
    Store16(static_cast<uint32_t>(length), ip + 4);
    ip[6] = protocol;
    ip[7] = kHopLimit;
    std::copy(source.bytes().begin(), source.bytes().end(), ip + 8);
    std::copy(destination.bytes().begin(), destination.bytes().end(), ip + 24);
    frame.header_size += kIpv6Bytes;
    return ip + kIpv6Bytes;
  }
  ip[0] = 4 << 4 | kIpv4Bytes / 4;
  Store16(static_cast<uint32_t>(kIpv4Bytes + length), ip + 2);
  constexpr uint16_t kDontFragment = 0x4000;
  Store16(kDontFragment, ip + 6);
  ip[8] = kHopLimit;
  ip[9] = protocol;
  std::copy(source.wire().begin(), source.wire().end(), ip + 12);
  std::copy(destination.wire().begin(), destination.wire().end(), ip + 16);
  Checksum sum;
  sum.Add({ip, kIpv4Bytes});
  Store16(sum.Fold(), ip + 10);
  frame.header_size += kIpv4Bytes;
  return ip + kIpv4Bytes;
}

// Over pseudo header, transport header and payload; stored at `field`.
void PutChecksum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                 Bytes header, Bytes payload, uint8_t* field) {
  Checksum sum;
  sum.Add(source.wire());
  sum.Add(destination.wire());
  const size_t length = header.size() + payload.size();
  sum.AddWord(static_cast<uint16_t>(length >> 16));
  sum.AddWord(static_cast<uint16_t>(length));
  sum.AddWord(protocol);
  sum.Add(header);
  sum.Add(payload);
  const uint16_t folded = sum.Fold();
  // RFC 768: zero would mean that there is none.
  Store16(folded == 0 && protocol == kProtocolUdp ? 0xffff : folded, field);
}

}  // namespace

Payload MakePayload(Bytes bytes) {
  auto block = std::make_shared_for_overwrite<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), block.get());
  return {std::move(block), 0, static_cast<uint32_t>(bytes.size())};
}

Frame BuildTcp(const LinkAddresses& link, const TcpHeader& header, Payload payload) {
  Frame frame;
  const size_t size = kTcpBytes + (header.mss != 0 ? kSynOptionBytes : 0);
  uint8_t* const tcp =
      PutIp(link, header.source, header.destination, kProtocolTcp, size + payload.size, frame);
  Store16(header.source_port, tcp);
  Store16(header.destination_port, tcp + 2);
  Store32(header.sequence, tcp + 4);
  Store32(header.acknowledgement, tcp + 8);
  tcp[12] = static_cast<uint8_t>(size / 4 << 4);
  tcp[13] = header.flags;
  Store16(header.window, tcp + 14);
  Store32(0, tcp + 16);  // checksum, urgent pointer
  if (header.mss != 0) {
    uint8_t* const options = tcp + kTcpBytes;
    options[0] = 2;  // maximum segment size
    options[1] = 4;
    Store16(header.mss, options + 2);
    const bool scaled = header.window_scale >= 0;
    options[4] = 1;  // no operation
    options[5] = scaled ? 3 : 1;
    options[6] = scaled ? 3 : 1;
    options[7] = scaled ? static_cast<uint8_t>(header.window_scale) : 1;
  }
  frame.header_size = static_cast<uint8_t>(frame.header_size + size);
  PutChecksum(header.source, header.destination, kProtocolTcp, {tcp, size}, payload.bytes(),
              tcp + 16);
  frame.payload = std::move(payload);
  return frame;
}

Frame BuildUdp(const LinkAddresses& link, const IpAddress& source, uint16_t source_port,
               const IpAddress& destination, uint16_t destination_port, Payload payload) {
  Frame frame;
  const size_t length = kUdpBytes + payload.size;
  uint8_t* const udp = PutIp(link, source, destination, kProtocolUdp, length, frame);
  Store16(source_port, udp);
  Store16(destination_port, udp + 2);
  Store16(static_cast<uint32_t>(length), udp + 4);
  Store16(0, udp + 6);
  frame.header_size += kUdpBytes;
  PutChecksum(source, destination, kProtocolUdp, {udp, kUdpBytes}, payload.bytes(), udp + 6);
  frame.payload = std::move(payload);
  return frame;
}

Frame BuildIcmp(const LinkAddresses& link, const IpAddress& source, const IpAddress& destination,
                std::string message) {
  Frame frame;
  const bool v4 = destination.is_v4();
  PutIp(link, source, destination, v4 ? kProtocolIcmp : kProtocolIcmpv6, message.size(), frame);
  auto* const bytes = reinterpret_cast<uint8_t*>(message.data());
  if (v4) {
    Checksum sum;
    sum.Add({bytes, message.size()});
    Store16(sum.Fold(), bytes + 2);
  } else {
    PutChecksum(source, destination, kProtocolIcmpv6, {bytes, message.size()}, {}, bytes + 2);
  }
  frame.payload = MakePayload({bytes, message.size()});
  return frame;
}

Frame BuildUnreachable(const LinkAddresses& link, Unreachable why, const IpAddress& source,
                       const IpPacket& packet) {
  const bool v4 = packet.source.is_v4();
  std::string message(8, '\0');
  // RFC 792 and 1812 (3: destination unreachable); RFC 4443 (1).
  message[0] = v4 ? 3 : 1;
  switch (why) {
    case Unreachable::kPort:
      message[1] = v4 ? 3 : 4;
      break;
    case Unreachable::kHost:
      message[1] = v4 ? 1 : 3;
      break;
    case Unreachable::kProhibited:
      message[1] = v4 ? 13 : 1;
      break;
  }
  const Bytes quote =
      packet.whole.first(std::min(packet.whole.size(), v4 ? kMaxQuoteV4 : kMaxQuoteV6));
  message.append(quote.begin(), quote.end());
  return BuildIcmp(link, source, packet.source, std::move(message));
}

Frame BuildRaw(const LinkAddresses& link, uint16_t ether_type, std::string bytes) {
  Frame frame;
  PutEthernet(link, ether_type, frame);
  frame.payload = MakePayload({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  return frame;
}

}  // namespace msb::net
