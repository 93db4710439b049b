// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "network/packet/frame_builder.h"
#include "network/packet/ip_packet.h"
#include "network/packet/wire.h"
#include "tests/support/matchers.h"

namespace msb::net {
namespace {

std::string Whole(const Frame& frame) {
  std::string bytes(frame.header, frame.header + frame.header_size);
  const Bytes payload = frame.payload.bytes();
  return bytes + std::string(payload.begin(), payload.end());
}
Bytes Of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
IpAddress Address(absl::string_view text) { return *IpAddress::Parse(text); }

class PacketTest : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  std::optional<IpPacket> Parse(const std::string& frame) {
    const Bytes ip = Of(frame).subspan(kEthernetBytes);
    return source_.is_v4() ? ParseIpv4(ip) : ParseIpv6(ip);
  }
  // A receiver sums everything, the checksum included, to zero.
  static uint16_t Sum(const IpPacket& packet) {
    Checksum sum;
    sum.Add(packet.source.wire());
    sum.Add(packet.destination.wire());
    sum.AddWord(static_cast<uint16_t>(packet.payload.size()));
    sum.AddWord(packet.protocol);
    sum.Add(packet.payload);
    return sum.Fold();
  }

  const IpAddress source_ = Address(GetParam().first);
  const IpAddress destination_ = Address(GetParam().second);
  const LinkAddresses link_{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
};

TEST_P(PacketTest, ReadsBackTheTcpThatItBuilds) {
  for (const size_t size : {0, 1, 7, 1000, 60001}) {
    const std::string payload(size, 'p');
    const std::string frame = Whole(BuildTcp(link_,
                                             {.source = source_,
                                              .destination = destination_,
                                              .source_port = 80,
                                              .destination_port = 1234,
                                              .sequence = 0x01020304,
                                              .acknowledgement = 0xfffefdfc,
                                              .flags = kTcpSyn | kTcpAck,
                                              .window = 777,
                                              .mss = 1460,
                                              .window_scale = 7},
                                             MakePayload(Of(payload))));
    const auto packet = Parse(frame);
    ASSERT_TRUE(packet.has_value());
    EXPECT_EQ(Sum(*packet), 0);
    const auto segment = ParseTcp(packet->payload);
    ASSERT_TRUE(segment.has_value());
    EXPECT_EQ(segment->sequence, 0x01020304u);
    EXPECT_EQ(segment->acknowledgement, 0xfffefdfcu);
    EXPECT_EQ(segment->mss, 1460);
    EXPECT_EQ(segment->window_scale, 7);
    EXPECT_EQ(segment->payload.size(), size);
  }
}

TEST_P(PacketTest, ReadsBackTheUdpAndTheErrorsThatItBuilds) {
  const std::string frame =
      Whole(BuildUdp(link_, source_, 53, destination_, 4000, MakePayload(Of("hello"))));
  const auto packet = Parse(frame);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(Sum(*packet), 0);
  EXPECT_EQ(ParseUdp(packet->payload)->payload.size(), 5u);

  IpPacket offending = *packet;
  const std::string answer =
      Whole(BuildUnreachable(link_, Unreachable::kPort, destination_, offending));
  const auto error = Parse(answer);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->destination, source_);
  EXPECT_EQ(error->payload[0], source_.is_v4() ? 3 : 1);
  EXPECT_EQ(error->payload.size(), 8 + packet->whole.size());
}

TEST_P(PacketTest, RefusesEveryCutOfAPacket) {
  const std::string frame = Whole(BuildTcp(
      link_, {.source = source_, .destination = destination_, .mss = 1460, .window_scale = 7}));
  for (size_t cut = kEthernetBytes; cut + 1 < frame.size(); ++cut) {
    EXPECT_FALSE(Parse(frame.substr(0, cut)).has_value()) << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(BothVersions, PacketTest,
                         testing::Values(std::pair("8.8.8.8", "192.0.0.2"),
                                         std::pair("2606:4700::1", "fd6d:7362::2")));

TEST(IpPacketTest, RefusesFragmentsAndRoutingHeaders) {
  const LinkAddresses link{};
  std::string frame =
      Whole(BuildUdp(link, Address("8.8.8.8"), 1, Address("192.0.0.2"), 2, MakePayload(Of("x"))));
  std::string ip = frame.substr(kEthernetBytes);
  ip[6] = 0x20;  // more fragments
  EXPECT_FALSE(ParseIpv4(Of(ip)).has_value());
  ip[6] = 0;
  ip[7] = 1;  // an offset
  EXPECT_FALSE(ParseIpv4(Of(ip)).has_value());

  frame = Whole(
      BuildUdp(link, Address("2606::1"), 1, Address("fd6d::2"), 2, MakePayload(Of("01234567"))));
  ip = frame.substr(kEthernetBytes);
  for (const int header : {43, 44}) {  // routing, fragment: no transport that anybody serves
    ip[6] = static_cast<char>(header);
    EXPECT_EQ(ParseIpv6(Of(ip))->protocol, header);
  }
  ip[6] = 0;  // hop by hop options that run past the end
  ip[41] = 9;
  EXPECT_FALSE(ParseIpv6(Of(ip)).has_value());
}

TEST(IpPacketTest, RefusesMappedAddressesOnTheWire) {
  const LinkAddresses link{};
  std::string ip =
      Whole(BuildUdp(link, Address("2606::1"), 1, Address("fd6d::2"), 2, MakePayload(Of("x"))))
          .substr(kEthernetBytes);
  const IpAddress mapped = Address("::ffff:127.0.0.1");
  std::copy(mapped.bytes().begin(), mapped.bytes().end(), ip.begin() + 24);
  EXPECT_FALSE(ParseIpv6(Of(ip)).has_value());
}

TEST(TcpSegmentTest, SurvivesOptionsThatLie) {
  std::string tcp(24, '\0');
  tcp[12] = 6 << 4;
  tcp[20] = 2;  // MSS
  for (int length = 0; length < 256; ++length) {
    tcp[21] = static_cast<char>(length);
    ASSERT_TRUE(ParseTcp(Of(tcp)).has_value());
  }
  tcp[12] = static_cast<char>(15 << 4);
  EXPECT_FALSE(ParseTcp(Of(tcp)).has_value());
}

}  // namespace
}  // namespace msb::net
