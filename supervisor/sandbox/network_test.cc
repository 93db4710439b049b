// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/network.h"

#include "tests/support/matchers.h"

namespace msb {
namespace {

const NetworkConfig kConfig = {.preset = "public", .mtu = 65520, .max_flows = 100};

TEST(NetworkTest, FillsInThePresetAndBothFormsOfARule) {
  msb::v1::Network network;
  network.add_rules()->set_text("allow tcp *.Example.com:80,8000-8100");
  msb::v1::NetworkRule& fields = *network.add_rules();
  fields.set_action(msb::v1::NetworkRule::ACTION_DENY);
  fields.set_protocol(msb::v1::NetworkRule::PROTOCOL_UDP);
  fields.set_target("10.0.0.0/8");
  fields.add_ports()->set_first(53);

  ASSERT_OK(CompleteNetwork(kConfig, network));

  EXPECT_EQ(network.preset(), "public");
  EXPECT_EQ(network.rules(0).text(), "allow out tcp *.example.com 80,8000-8100");
  EXPECT_EQ(network.rules(0).target(), "*.example.com");
  ASSERT_EQ(network.rules(0).ports_size(), 2);
  EXPECT_EQ(network.rules(0).ports(1).last(), 8100u);
  EXPECT_EQ(network.rules(1).text(), "deny out udp 10.0.0.0/8 53");
  const std::string once = network.SerializeAsString();
  ASSERT_OK(CompleteNetwork(kConfig, network));
  EXPECT_EQ(network.SerializeAsString(), once) << "an answer may come back";
}

TEST(NetworkTest, RefusesWhatMsbNetWouldNotUnderstand) {
  msb::v1::Network network;
  network.set_preset("some");
  EXPECT_THAT(CompleteNetwork(kConfig, network), HasReason(Reason::kInvalidArgument));
  network.set_preset("none");
  network.add_rules()->set_target("example.com");  // neither allowed nor denied
  EXPECT_THAT(CompleteNetwork(kConfig, network), HasReason(Reason::kInvalidArgument));
}

TEST(NetworkTest, CompletesAndChecksAPort) {
  msb::v1::PublishedPort port;
  port.set_guest_port(80);
  port.set_bound_port(7);
  ASSERT_OK(CompletePort(port));
  EXPECT_EQ(port.host_address(), "127.0.0.1");
  EXPECT_EQ(port.protocol(), msb::v1::PublishedPort::PROTOCOL_TCP);
  EXPECT_EQ(port.bound_port(), 0u) << "not the client's to say";
  port.set_host_port(65536);
  EXPECT_THAT(CompletePort(port), HasReason(Reason::kInvalidArgument));
  port.set_host_port(80);
  port.set_host_address("localhost");
  EXPECT_THAT(CompletePort(port), HasReason(Reason::kInvalidArgument));
}

TEST(NetworkTest, KeepsLowPortsForRoot) {
  msb::v1::PublishedPort port;
  port.set_host_port(1023);
  EXPECT_THAT(CheckPortRights(Caller{.uid = 1000}, port), HasReason(Reason::kPermissionDenied));
  EXPECT_OK(CheckPortRights(Caller{.sees_all = true}, port));
  port.set_host_port(1024);
  EXPECT_OK(CheckPortRights(Caller{.uid = 1000}, port));
  port.set_host_port(0);
  EXPECT_OK(CheckPortRights(Caller{.uid = 1000}, port));
}

TEST(NetworkTest, GivesACardToWhoeverMayReachOrBeReached) {
  msb::v1::Network network;
  network.set_preset("none");
  EXPECT_FALSE(HasCard(network));
  network.add_ports()->set_guest_port(80);
  EXPECT_TRUE(HasCard(network));
}

}  // namespace
}  // namespace msb
