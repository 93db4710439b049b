// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/network.h"

#include <gmock/gmock.h>

#include "supervisor/config/settings.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

const NetworkConfig kConfig = {.preset = "public", .mtu = 65520, .max_flows = 100, .max_ports = 2};

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

TEST(NetworkTest, HasAsManyPortsAsTheConfigurationLets) {
  msb::v1::Network network;
  for (int i = 0; i < 2; ++i) network.add_ports()->set_guest_port(80);
  EXPECT_OK(CompleteNetwork(kConfig, network));
  network.add_ports()->set_guest_port(80);
  const absl::Status refused = CompleteNetwork(kConfig, network);
  EXPECT_THAT(refused, HasReason(Reason::kLimitExceeded));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("[network] max_ports"));
}

TEST(NetworkTest, ItsProcessIsToldTheLimitsOfTheConfiguration) {
  Config config = DefaultConfig();
  config.network.max_flows = 60'000;
  config.network.max_connecting = 5;
  config.network.max_lookups = 6;
  config.network.max_dns_connections = 7;
  config.network.max_names = 100;
  config.network.max_names_of_address = 8;
  config.network.max_members = 9;
  config.network.tcp_idle = absl::Minutes(1);
  config.network.udp_idle = absl::Seconds(10);
  config.network.memory_mib = 64;
  config.network.cpu_milli = 250;
  msb::v1::SandboxSpec sandbox;
  sandbox.mutable_network()->set_preset("public");
  LaunchSpec launch;

  AddNetwork(config, sandbox, launch);

  const CompanionSpec& process = launch.companions.at(0);
  msb::net::v1::NetSpec spec;
  ASSERT_TRUE(spec.ParseFromString(process.input));
  EXPECT_EQ(spec.limits().max_flows(), 60'000u);
  EXPECT_EQ(spec.limits().max_connecting(), 5u);
  EXPECT_EQ(spec.limits().max_lookups(), 6u);
  EXPECT_EQ(spec.limits().max_dns_connections(), 7u);
  EXPECT_EQ(spec.limits().max_names(), 100u);
  EXPECT_EQ(spec.limits().max_names_of_address(), 8u);
  EXPECT_EQ(spec.limits().max_members(), 9u);
  EXPECT_EQ(spec.limits().tcp_idle_seconds(), 60u);
  EXPECT_EQ(spec.limits().udp_idle_seconds(), 10u);
  EXPECT_EQ(process.memory_mib, 64u);
  EXPECT_EQ(process.cpu_milli, 250u);
  EXPECT_GT(process.max_open_files, 60'000u) << "a descriptor for each flow";
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
