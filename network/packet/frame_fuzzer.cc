// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Packets of a hostile guest, and what TCP makes of its segments.

#include <cstdint>
#include <optional>

#include "base/check.h"
#include "network/packet/ip_packet.h"
#include "network/tcp/connection.h"
#include "tests/support/fuzz_input.h"

namespace msb::net {
namespace {

// Segments over a connection that stands: nothing is taken twice or beyond the window.
void FuzzTcp(FuzzInput input) {
  uint32_t last_acknowledgement = 0;
  TcpConnection connection({*IpAddress::Parse("192.0.0.2"), 1, *IpAddress::Parse("8.8.8.8"), 2},
                           1500, 1000, [&](const TcpHeader& header, const Payload&) {
                             if ((header.flags & kTcpAck) != 0)
                               last_acknowledgement = header.acknowledgement;
                           });
  TcpSegment syn;
  syn.sequence = 0;
  syn.flags = kTcpSyn;
  syn.window = 0xffff;
  syn.window_scale = static_cast<int8_t>(input.Take<uint8_t>() % 16 - 1);
  connection.OnSyn(syn);
  connection.Accept();
  uint64_t taken = 0;
  for (int step = 0; !input.empty() && step < 256; ++step) {
    TcpSegment segment;
    segment.flags = input.Take<uint8_t>();
    segment.sequence = static_cast<uint32_t>(taken) + 1 + input.Take<int8_t>();
    segment.acknowledgement = 1001 + input.Take<uint8_t>();
    segment.window = input.Take<uint16_t>();
    segment.payload = input.TakeBytes(input.Take<uint8_t>());
    taken += connection.OnSegment(segment).data.size();
    const uint32_t room = std::min(connection.SendRoom(), uint32_t{3});
    if (room > 0)
      connection.Send(MakePayload(Bytes(reinterpret_cast<const uint8_t*>("abc"), room)));
    if ((segment.flags & 0x40) != 0) connection.Finish();
    if ((segment.flags & 0x80) != 0) connection.OnTimer();
    connection.SetHeld(static_cast<uint32_t>(taken / 2));
    connection.Acknowledge();
    MSB_CHECK(static_cast<uint32_t>(last_acknowledgement - 1) <= taken + 1);
    MSB_CHECK(connection.in_flight() <= TcpConnection::kMaxInFlight + 1);
  }
}

void Fuzz(const uint8_t* data, size_t size) {
  const Bytes bytes(data, size);
  for (const auto& packet : {ParseIpv4(bytes), ParseIpv6(bytes)}) {
    if (!packet.has_value()) continue;
    MSB_CHECK(packet->payload.size() <= packet->whole.size() && packet->whole.size() <= size);
    (void)ParseTcp(packet->payload);
    (void)ParseUdp(packet->payload);
    (void)ParseEcho(packet->payload);
    (void)BuildUnreachable({}, Unreachable::kHost, packet->destination, *packet);
  }
  (void)ParseTcp(bytes);
  FuzzTcp(FuzzInput(data, size));
}

}  // namespace
}  // namespace msb::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::net::Fuzz(data, size);
  return 0;
}
