// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/policy/policy.h"

#include <string>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"

namespace msb::net {
namespace {

Policy Make(absl::string_view preset, const std::vector<std::string>& rules = {}) {
  absl::StatusOr<Policy> policy = ParsePolicy(preset, rules);
  MSB_CHECK(policy.ok());
  return *std::move(policy);
}

Action Decide(const Policy& policy, absl::string_view address, uint16_t port = 443,
              const std::vector<std::string>& names = {}, Protocol protocol = Protocol::kTcp,
              Direction direction = Direction::kOut) {
  const IpAddress parsed = *IpAddress::Parse(address);
  return Evaluate(policy, {.direction = direction,
                           .protocol = protocol,
                           .groups = Classify(parsed),
                           .address = parsed,
                           .port = port,
                           .names = names})
      .action;
}

TEST(AddressTest, ReadsAndWritesBothVersions) {
  for (const char* text : {"127.0.0.1", "::1", "2001:db8::1", "255.255.255.255", "::"}) {
    EXPECT_EQ(IpAddress::Parse(text)->ToString(), text);
  }
  EXPECT_FALSE(IpAddress::Parse("1.2.3").has_value());
  EXPECT_FALSE(IpAddress::Parse("").has_value());
  EXPECT_EQ(IpAddress::Parse("::ffff:10.0.0.1"), IpAddress::Parse("10.0.0.1"));
}

TEST(AddressTest, ReadsNetworksWithoutBitsBehindThem) {
  EXPECT_TRUE(ParseCidr("10.0.0.0/8")->Contains(*IpAddress::Parse("10.255.1.2")));
  EXPECT_FALSE(ParseCidr("10.0.0.0/8")->Contains(*IpAddress::Parse("11.0.0.0")));
  EXPECT_TRUE(ParseCidr("fd00::/9")->Contains(*IpAddress::Parse("fd7f::1")));
  EXPECT_FALSE(ParseCidr("fd00::/9")->Contains(*IpAddress::Parse("fd80::1")));
  EXPECT_TRUE(ParseCidr("0.0.0.0/0")->Contains(*IpAddress::Parse("8.8.8.8")));
  EXPECT_FALSE(ParseCidr("0.0.0.0/0")->Contains(*IpAddress::Parse("::1")));
  for (const char* wrong : {"10.1.0.0/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "x"}) {
    EXPECT_FALSE(ParseCidr(wrong).has_value()) << wrong;
  }
}

TEST(PolicyTest, PublicOpensTheInternetAndNothingNearer) {
  const Policy policy = Make("public");
  for (const char* open : {"8.8.8.8", "1.1.1.1", "2606:4700::1111", "172.32.0.1", "100.128.0.1"}) {
    EXPECT_EQ(Decide(policy, open), Action::kAllow) << open;
  }
  for (const char* shut :
       {"127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "100.64.0.1", "169.254.169.254", "169.254.1.1", "168.63.129.16", "224.0.0.1",
        "255.255.255.255", "0.0.0.0", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1",
        "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::7f00:1",
        // The same addresses in the disguises that a host may undo.
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1"}) {
    EXPECT_EQ(Decide(policy, shut), Action::kDeny) << shut;
  }
  EXPECT_EQ(Decide(policy, "64:ff9b::808:808"), Action::kAllow);
}

TEST(PolicyTest, NeverGoesToTheUnspecifiedAddresses) {
  const Policy policy = Make("all", {"allow any", "allow @reserved", "allow 0.0.0.0/0"});
  for (const char* nobody : {"0.0.0.0", "0.0.0.1", "0.255.255.255", "::", "::2", "::127.0.0.1",
                             "64:ff9b::", "2002::1"}) {
    EXPECT_EQ(Decide(policy, nobody), Action::kDeny) << nobody;
  }
  for (const char* somebody : {"1.0.0.0", "127.0.0.1", "::1", "::1:0:0:0"}) {
    EXPECT_EQ(Decide(policy, somebody), Action::kAllow) << somebody;
  }
}

TEST(PolicyTest, DeniesTheHostsOwnPublicAddresses) {
  GroupSet groups = Classify(*IpAddress::Parse("8.8.8.8"));
  groups.Add(Group::kHost);
  const std::vector<std::string> names = {"evil.com"};
  const Request request{
      .groups = groups, .address = *IpAddress::Parse("8.8.8.8"), .port = 22, .names = names};
  EXPECT_EQ(Evaluate(Make("public"), request).action, Action::kDeny);
  EXPECT_EQ(Evaluate(Make("none", {"allow evil.com"}), request).action, Action::kDeny);
  EXPECT_EQ(Evaluate(Make("none", {"allow @host 22"}), request).action, Action::kAllow);
}

TEST(PolicyTest, TakesTheFirstRuleThatMatches) {
  const Policy policy = Make("none", {"deny tcp 10.0.0.5", "allow tcp 10.0.0.0/24 80,8000-8100",
                                      "allow udp any 53", "deny any", "allow 1.1.1.1"});
  EXPECT_EQ(Decide(policy, "10.0.0.5", 80), Action::kDeny);
  EXPECT_EQ(Decide(policy, "10.0.0.6", 80), Action::kAllow);
  EXPECT_EQ(Decide(policy, "10.0.0.6", 8100), Action::kAllow);
  EXPECT_EQ(Decide(policy, "10.0.0.6", 8101), Action::kDeny);
  EXPECT_EQ(Decide(policy, "10.0.0.6", 80, {}, Protocol::kUdp), Action::kDeny);
  EXPECT_EQ(Decide(policy, "9.9.9.9", 53, {}, Protocol::kUdp), Action::kAllow);
  EXPECT_EQ(Decide(policy, "1.1.1.1", 1), Action::kDeny);
}

TEST(PolicyTest, KnowsNamesOnlyFromTheRequest) {
  const Policy policy =
      Make("none", {"deny bad.example.com", "allow *.example.com 443", "allow .example.org"});
  EXPECT_EQ(Decide(policy, "8.8.8.8", 443, {"a.example.com"}), Action::kAllow);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 443, {"a.b.example.com"}), Action::kAllow);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 443, {"example.com"}), Action::kDeny);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 443, {"bad.example.com"}), Action::kDeny);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 443, {"notexample.com"}), Action::kDeny);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 80, {"a.example.com"}), Action::kDeny);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 80, {"example.org"}), Action::kAllow);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 443), Action::kDeny);
  EXPECT_EQ(Decide(policy, "10.0.0.1", 443, {"a.example.com"}), Action::kDeny)
      << "a name leads where its owner likes";
}

NameNeed NeedAt(const Policy& policy, absl::string_view address,
                Protocol protocol = Protocol::kTcp) {
  const IpAddress parsed = *IpAddress::Parse(address);
  GroupSet groups = Classify(parsed);
  if (groups.Has(Group::kLoopback)) groups.Add(Group::kHost);
  return NeedOfName(policy,
                    {.protocol = protocol, .groups = groups, .address = parsed, .port = 443});
}

TEST(PolicyTest, WantsToSeeTheNameWhereADenialByNameStandsBefore) {
  const auto need = [](const Policy& policy, Protocol protocol = Protocol::kTcp) {
    return NeedAt(policy, "8.8.8.8", protocol);
  };
  for (const char* preset : {"public", "all"}) {
    EXPECT_EQ(need(Make(preset, {"deny *.ads.example"})), NameNeed::kAlways);
    EXPECT_EQ(need(Make(preset, {"allow a.example"})), NameNeed::kNone);
    EXPECT_EQ(need(Make(preset, {"allow a.example", "deny *.ads.example 80"})), NameNeed::kNone);
    EXPECT_EQ(need(Make(preset, {"allow a.example", "deny b.example"})), NameNeed::kAlways);
  }
  EXPECT_EQ(need(Make("none", {"allow a.example"})), NameNeed::kAlways);
  for (const char* broad : {"allow any", "allow @public", "allow @public 443"}) {
    EXPECT_EQ(need(Make("none", {"deny *.ads.example", broad})), NameNeed::kAlways) << broad;
    EXPECT_EQ(need(Make("none", {broad, "deny *.ads.example"})), NameNeed::kNone) << broad;
    EXPECT_EQ(need(Make("none", {"allow a.example", broad})), NameNeed::kNone) << broad;
    EXPECT_EQ(need(Make("none", {"deny *.ads.example 80", broad})), NameNeed::kNone) << broad;
    EXPECT_EQ(need(Make("none", {"deny udp *.ads.example", broad})), NameNeed::kNone) << broad;
  }
  EXPECT_EQ(need(Make("none", {"deny *.ads.example", "allow any"}), Protocol::kUdp),
            NameNeed::kAlways);
  EXPECT_EQ(need(Make("none", {"deny tcp *.ads.example", "allow any"}), Protocol::kUdp),
            NameNeed::kNone);
  EXPECT_EQ(need(Make("none", {"deny *.ads.example", "allow 8.8.8.0/24"})), NameNeed::kNone);
}

TEST(PolicyTest, NeedsNoNameWhereNamesDoNotLead) {
  for (const char* address : {"10.0.0.1", "fd00::1", "127.0.0.1", "169.254.169.254"}) {
    EXPECT_EQ(NeedAt(Make("all", {"deny *.ads.example"}), address), NameNeed::kIfSaid) << address;
    EXPECT_EQ(NeedAt(Make("all", {"allow a.example"}), address), NameNeed::kNone) << address;
  }
  const Policy policy = Make("none", {"deny *.ads.example", "allow @host", "allow @private"});
  EXPECT_EQ(NeedAt(policy, "127.0.0.1"), NameNeed::kIfSaid);
  EXPECT_EQ(NeedAt(policy, "10.0.0.1"), NameNeed::kIfSaid);
}

TEST(PolicyTest, KnowsTheGatewayByItsOwnAddress) {
  const auto decide = [](const Policy& policy, uint16_t port) {
    GroupSet groups;
    groups.Add(Group::kLoopback);
    groups.Add(Group::kHost);
    return Evaluate(policy, {.groups = groups,
                             .address = *IpAddress::Parse("127.0.0.1"),
                             .port = port,
                             .dialled = *IpAddress::Parse("192.0.0.1")})
        .action;
  };
  const Policy one = Make("none", {"allow 192.0.0.1:8443"});
  EXPECT_EQ(decide(one, 8443), Action::kAllow);
  EXPECT_EQ(decide(one, 8444), Action::kDeny);
  EXPECT_EQ(decide(Make("none", {"allow 127.0.0.1:8443"}), 8443), Action::kAllow);
  EXPECT_EQ(decide(Make("all", {"deny 192.0.0.1:8443"}), 8443), Action::kDeny);
  // A network that it is in does not mean the host.
  EXPECT_EQ(decide(Make("none", {"allow 192.0.0.0/24"}), 8443), Action::kDeny);
  EXPECT_EQ(decide(Make("all", {"deny 192.0.0.0/24"}), 8443), Action::kAllow);
}

TEST(PolicyTest, LetsInWhoeverAPublishedPortIsFor) {
  const Policy policy = Make("none", {"deny in 10.0.0.0/8", "allow in any 80"});
  const auto in = [&](const char* from, uint16_t port) {
    return Decide(policy, from, port, {}, Protocol::kTcp, Direction::kIn);
  };
  EXPECT_EQ(in("10.0.0.1", 80), Action::kDeny);
  EXPECT_EQ(in("127.0.0.1", 80), Action::kAllow);
  EXPECT_EQ(in("127.0.0.1", 81), Action::kAllow);  // the port was published
  EXPECT_EQ(Decide(policy, "8.8.8.8", 80), Action::kDeny);
}

TEST(PolicyTest, KeepsRulesWithPortsFromPings) {
  const Policy policy = Make("none", {"allow any 443", "allow icmp 8.8.8.8"});
  EXPECT_EQ(Decide(policy, "1.1.1.1", 0, {}, Protocol::kIcmp), Action::kDeny);
  EXPECT_EQ(Decide(policy, "8.8.8.8", 0, {}, Protocol::kIcmp), Action::kAllow);
}

TEST(PolicyTest, LooksUpWhatSomeRuleMayOpen) {
  const auto lookup = [](const Policy& policy, absl::string_view name) {
    return EvaluateLookup(policy, name).action;
  };
  EXPECT_EQ(lookup(Make("public"), "a.com"), Action::kAllow);
  EXPECT_EQ(lookup(Make("public", {"deny a.com"}), "a.com"), Action::kDeny);
  EXPECT_EQ(lookup(Make("public", {"deny a.com 80"}), "a.com"), Action::kAllow);
  EXPECT_EQ(lookup(Make("none"), "a.com"), Action::kDeny);
  EXPECT_EQ(lookup(Make("none", {"allow a.com"}), "a.com"), Action::kAllow);
  EXPECT_EQ(lookup(Make("none", {"allow a.com"}), "secret.b.com"), Action::kDeny);
  EXPECT_EQ(lookup(Make("none", {"allow 10.0.0.0/8"}), "a.com"), Action::kDeny);
}

TEST(RuleTest, HasOneCanonicalText) {
  const std::pair<const char*, const char*> texts[] = {
      {"allow example.com", "allow out example.com"},
      {"allow Example.COM.:443", "allow out example.com 443"},
      {"deny in udp 10.0.0.0/8 1-65535", "deny in udp 10.0.0.0/8 1-65535"},
      {"allow tcp [fd00::1]:22", "allow out tcp fd00::1 22"},
      {"allow fd00::/8", "allow out fd00::/8"},
      {"allow out *.a_b.com:80,443", "allow out *.a_b.com 80,443"},
      {"deny @metadata", "deny out @metadata"},
      {"allow * 80", "allow out any 80"},
      {"allow icmp any", "allow out icmp any"},
      {"allow 10.0.0.1:5432", "allow out 10.0.0.1 5432"},
  };
  for (const auto& [text, canonical] : texts) {
    ASSERT_OK_AND_ASSIGN(const Rule rule, ParseRule(text));
    EXPECT_EQ(rule.ToString(), canonical);
    ASSERT_OK_AND_ASSIGN(const Rule again, ParseRule(canonical));
    EXPECT_EQ(again, rule) << canonical;
  }
}

TEST(RuleTest, RefusesWhatItCannotMean) {
  for (const char* wrong : {"",
                            "example.com",
                            "allow",
                            "allow tcp",
                            "permit any",
                            "allow @nobody",
                            "allow 10.0.0.1/8",
                            "allow 1.2.3.4.5",
                            "allow 300.1.1.1",
                            "allow a..b",
                            "allow -a.com",
                            "allow a b",
                            "allow any 0",
                            "allow any 65536",
                            "allow any 5-4",
                            "allow any 1,,2",
                            "allow icmp any 80",
                            "allow in example.com",
                            "allow [fd00::1",
                            "allow a.com:80 443",
                            "allow *.*.com",
                            "allow any +5"}) {
    EXPECT_THAT(ParseRule(wrong), HasReason(Reason::kInvalidArgument)) << wrong;
  }
  EXPECT_THAT(ParsePolicy("some", {}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(ParsePolicy("none", std::vector<std::string>{"allow any", "x"}),
              HasReason(Reason::kInvalidArgument));
}

}  // namespace
}  // namespace msb::net
