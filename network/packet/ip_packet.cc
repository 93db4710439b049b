// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/packet/ip_packet.h"

#include <algorithm>

namespace msb::net {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kTcpBytes = 20;
constexpr size_t kUdpBytes = 8;
constexpr size_t kEchoBytes = 8;

// RFC 8200, section 4: extension headers that may stand before the payload.
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kDestinationOptions = 60;
constexpr int kMaxExtensions = 4;

// RFC 9293, section 3.1 and RFC 7323.
constexpr uint8_t kOptionEnd = 0;
constexpr uint8_t kOptionNothing = 1;
constexpr uint8_t kOptionMss = 2;
constexpr uint8_t kOptionWindowScale = 3;
constexpr int8_t kMaxWindowScale = 14;

void ParseTcpOptions(Bytes options, TcpSegment& segment) {
  while (!options.empty() && options[0] != kOptionEnd) {
    if (options[0] == kOptionNothing) {
      options.remove_prefix(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return;
    const size_t length = options[1];
    if (options[0] == kOptionMss && length == 4) segment.mss = Load16(&options[2]);
    if (options[0] == kOptionWindowScale && length == 3) {
      segment.window_scale = static_cast<int8_t>(std::min<int>(options[2], kMaxWindowScale));
    }
    options.remove_prefix(length);
  }
}

}  // namespace

std::optional<IpPacket> ParseIpv4(Bytes bytes) {
  if (bytes.size() < kIpv4Bytes || bytes[0] >> 4 != 4) return std::nullopt;
  const size_t header = static_cast<size_t>(bytes[0] & 0xf) * 4;
  const size_t total = Load16(&bytes[2]);
  if (header < kIpv4Bytes || total < header || total > bytes.size()) return std::nullopt;
  constexpr uint16_t kMoreFragmentsAndOffset = 0x3fff;
  if ((Load16(&bytes[6]) & kMoreFragmentsAndOffset) != 0) return std::nullopt;
  IpPacket packet;
  packet.hop_limit = bytes[8];
  packet.protocol = bytes[9];
  packet.source = IpAddress::FromBytes(bytes.subspan(12, 4));
  packet.destination = IpAddress::FromBytes(bytes.subspan(16, 4));
  packet.whole = bytes.first(total);
  packet.payload = packet.whole.subspan(header);
  return packet;
}

std::optional<IpPacket> ParseIpv6(Bytes bytes) {
  if (bytes.size() < kIpv6Bytes || bytes[0] >> 4 != 6) return std::nullopt;
  const size_t length = Load16(&bytes[4]);
  if (length > bytes.size() - kIpv6Bytes) return std::nullopt;
  IpPacket packet;
  packet.protocol = bytes[6];
  packet.hop_limit = bytes[7];
  packet.source = IpAddress::FromBytes(bytes.subspan(8, 16));
  packet.destination = IpAddress::FromBytes(bytes.subspan(24, 16));
  if (packet.source.is_v4() || packet.destination.is_v4()) return std::nullopt;
  packet.whole = bytes.first(kIpv6Bytes + length);
  packet.payload = packet.whole.subspan(kIpv6Bytes);
  for (int i = 0; packet.protocol == kHopByHop || packet.protocol == kDestinationOptions; ++i) {
    if (i == kMaxExtensions || packet.payload.size() < 8) return std::nullopt;
    const size_t size = (size_t{packet.payload[1]} + 1) * 8;
    if (size > packet.payload.size()) return std::nullopt;
    packet.protocol = packet.payload[0];
    packet.payload.remove_prefix(size);
  }
  return packet;
}

std::optional<TcpSegment> ParseTcp(Bytes bytes) {
  if (bytes.size() < kTcpBytes) return std::nullopt;
  const size_t header = static_cast<size_t>(bytes[12] >> 4) * 4;
  if (header < kTcpBytes || header > bytes.size()) return std::nullopt;
  TcpSegment segment;
  segment.source_port = Load16(&bytes[0]);
  segment.destination_port = Load16(&bytes[2]);
  segment.sequence = Load32(&bytes[4]);
  segment.acknowledgement = Load32(&bytes[8]);
  segment.flags = bytes[13] & 0x3f;
  segment.window = Load16(&bytes[14]);
  segment.payload = bytes.subspan(header);
  ParseTcpOptions(bytes.subspan(kTcpBytes, header - kTcpBytes), segment);
  return segment;
}

std::optional<UdpDatagram> ParseUdp(Bytes bytes) {
  if (bytes.size() < kUdpBytes) return std::nullopt;
  const size_t length = Load16(&bytes[4]);
  if (length < kUdpBytes || length > bytes.size()) return std::nullopt;
  return UdpDatagram{.source_port = Load16(&bytes[0]),
                     .destination_port = Load16(&bytes[2]),
                     .payload = bytes.subspan(kUdpBytes, length - kUdpBytes)};
}

std::optional<IcmpEcho> ParseEcho(Bytes bytes) {
  if (bytes.size() < kEchoBytes) return std::nullopt;
  return IcmpEcho{.type = bytes[0],
                  .id = Load16(&bytes[4]),
                  .sequence = Load16(&bytes[6]),
                  .data = bytes.subspan(kEchoBytes)};
}

}  // namespace msb::net
