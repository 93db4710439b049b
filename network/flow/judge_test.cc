// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/judge.h"

#include <sys/resource.h>

#include "tests/support/matchers.h"

namespace msb::net {
namespace {

// The process finds no descriptor as long as it lives.
class WithoutDescriptors {
 public:
  WithoutDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  WithoutDescriptors(const WithoutDescriptors&) = delete;
  WithoutDescriptors& operator=(const WithoutDescriptors&) = delete;
  ~WithoutDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

ClientHello HelloFor(const std::string& name) {
  return {.state = ClientHello::State::kWhole, .server_name = name};
}

void SetPolicy(Judge& judge, absl::string_view preset, const std::vector<std::string>& rules) {
  const absl::StatusOr<Policy> policy = ParsePolicy(preset, rules);
  ASSERT_OK(policy);
  judge.SetPolicy(*policy);
}

// What becomes of a client at an address, by its protocol and port, or by its hello at port 443.
class Client {
 public:
  Client(const Judge& judge, absl::string_view address)
      : judge_(judge), address_(*IpAddress::Parse(address)) {}

  Action Begins(Protocol protocol, uint16_t port) const {
    return judge_.Decide(Direction::kOut, protocol, address_, port, absl::UnixEpoch())
        .verdict.action;
  }
  // As a flow does, which reads the hello only where it is asked for a name.
  Action Says(const ClientHello& hello) const {
    const Judge::Decision begun =
        judge_.Decide(Direction::kOut, Protocol::kTcp, address_, 443, absl::UnixEpoch());
    if (begun.verdict.action == Action::kDeny || !begun.checks_name) return begun.verdict.action;
    return judge_.DecideHello(address_, 443, hello, absl::UnixEpoch()).verdict.action;
  }

 private:
  const Judge& judge_;
  const IpAddress address_;
};

constexpr const char* kPublicAddress = "8.8.8.8";
const ClientHello kBroken{.state = ClientHello::State::kBroken};

TEST(JudgeTest, AsksForNoNameThatNothingDependsOn) {
  Judge judge;
  SetPolicy(judge, "public", {"allow pypi.org"});
  judge.pins().Pin("pypi.org", {*IpAddress::Parse("1.1.1.1")}, 60, absl::UnixEpoch());
  for (const char* address : {kPublicAddress, "1.1.1.1"}) {
    const Client client(judge, address);
    EXPECT_EQ(client.Says(HelloFor("")), Action::kAllow);
    EXPECT_EQ(client.Says(HelloFor("pypi.org")), Action::kAllow);
    EXPECT_EQ(client.Says(kBroken), Action::kAllow);
    EXPECT_EQ(client.Begins(Protocol::kUdp, 443), Action::kAllow);
    EXPECT_EQ(client.Begins(Protocol::kTcp, 853), Action::kAllow);
  }
}

TEST(JudgeTest, AsksForTheNameBehindADenialByName) {
  Judge judge;
  SetPolicy(judge, "public", {"deny *.ads.example", "allow pypi.org"});
  const Client client(judge, kPublicAddress);
  EXPECT_EQ(client.Says(HelloFor("")), Action::kDeny);
  EXPECT_EQ(client.Says(kBroken), Action::kDeny);
  EXPECT_EQ(client.Says(HelloFor("x.ads.example")), Action::kDeny);
  EXPECT_EQ(client.Says(HelloFor("dns.google")), Action::kDeny);
  EXPECT_EQ(client.Says(HelloFor("other.example")), Action::kAllow);
  EXPECT_EQ(client.Begins(Protocol::kUdp, 443), Action::kDeny);
  EXPECT_EQ(client.Begins(Protocol::kTcp, 853), Action::kDeny);
}

TEST(JudgeTest, DeniesOnlyANameThatIsSaidWhereNamesDoNotLead) {
  Judge judge;
  judge.set_behind([](const IpAddress& address) {
    return address == *IpAddress::Parse("192.0.0.1") ? *IpAddress::Parse("127.0.0.1") : address;
  });
  SetPolicy(judge, "none", {"deny *.ads.example", "allow @host", "allow @private"});
  for (const char* address : {"192.0.0.1", "10.0.0.1", "fd00::1"}) {
    const Client client(judge, address);
    EXPECT_EQ(client.Says(HelloFor("")), Action::kAllow) << address;
    EXPECT_EQ(client.Says(kBroken), Action::kAllow) << address;
    EXPECT_EQ(client.Says(HelloFor("dns.google")), Action::kAllow) << address;
    EXPECT_EQ(client.Says(HelloFor("x.ads.example")), Action::kDeny) << address;
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
      EXPECT_EQ(client.Begins(protocol, 443), Action::kAllow) << address;
      EXPECT_EQ(client.Begins(protocol, 853), Action::kAllow) << address;
    }
  }
}

TEST(JudgeTest, KnowsTheGatewayByItsNumber) {
  Judge judge;
  judge.set_behind([](const IpAddress&) { return *IpAddress::Parse("127.0.0.1"); });
  SetPolicy(judge, "none", {"deny *.ads.example", "allow 192.0.0.1:443"});
  const Client client(judge, "192.0.0.1");
  EXPECT_EQ(client.Says(HelloFor("")), Action::kAllow);
  EXPECT_EQ(client.Begins(Protocol::kTcp, 444), Action::kDeny);
}

TEST(JudgeTest, LetsNoNameBeHiddenWhereSecretsGoByNames) {
  Judge judge;
  judge.SetSecrets(true);
  for (const std::vector<std::string>& rules : {std::vector<std::string>{}, {"allow pypi.org"}}) {
    SetPolicy(judge, "public", rules);
    const Client client(judge, kPublicAddress);
    // No secret goes where no name is said, and no rule asks for one.
    EXPECT_EQ(client.Says(HelloFor("")), Action::kAllow);
    EXPECT_EQ(client.Says(HelloFor("other.example")), Action::kAllow);
    EXPECT_EQ(client.Says(HelloFor("pypi.org")), Action::kAllow);
    EXPECT_EQ(client.Says(HelloFor("dns.google")), Action::kDeny);
    EXPECT_EQ(client.Says(kBroken), Action::kDeny);
    EXPECT_EQ(client.Begins(Protocol::kUdp, 443), Action::kDeny);
    EXPECT_EQ(client.Begins(Protocol::kTcp, 853), Action::kDeny);
  }
}

TEST(JudgeTest, KeepsTheHostsAddressesWhenTheyCannotBeReadAnew) {
  Judge judge;
  const IpAddress address = *IpAddress::Parse("8.8.8.8");
  judge.SetHostAddresses({address});
  const auto decide = [&] {
    return judge.Decide(Direction::kOut, Protocol::kTcp, address, 22, absl::UnixEpoch())
        .verdict.action;
  };
  {
    const WithoutDescriptors none;
    EXPECT_FALSE(ReadHostAddresses(judge).ok());
  }
  EXPECT_EQ(decide(), Action::kDeny);
  EXPECT_OK(ReadHostAddresses(judge));
  EXPECT_EQ(decide(), Action::kAllow);
}

TEST(JudgeTest, HoldsAFlowToTheNamesThatItBeganWith) {
  Judge judge;
  SetPolicy(judge, "none", {"deny b.example", "allow a.example"});
  const IpAddress address = *IpAddress::Parse("8.8.8.8");
  const absl::Time now = absl::UnixEpoch();
  const auto decide = [&](const std::vector<std::string>& kept) {
    return judge.Decide(Direction::kOut, Protocol::kTcp, address, 443, now, kept).verdict.action;
  };
  const auto decide_named = [&](const std::string& name, const std::vector<std::string>& kept) {
    return judge.DecideHello(address, 443, HelloFor(name), now, kept).verdict.action;
  };
  EXPECT_EQ(decide({}), Action::kDeny);
  EXPECT_EQ(decide({"a.example"}), Action::kAllow);
  EXPECT_EQ(decide_named("a.example", {}), Action::kDeny);
  EXPECT_EQ(decide_named("a.example", {"a.example"}), Action::kAllow);
  EXPECT_EQ(decide_named("b.example", {"a.example", "b.example"}), Action::kDeny);
  // Who shared the address then ends no connection of another.
  EXPECT_EQ(decide({"a.example", "b.example"}), Action::kAllow);
  judge.pins().Pin("b.example", {address}, 60, now);
  EXPECT_EQ(decide({"a.example", "b.example"}), Action::kDeny) << "it may be for that one";
  EXPECT_EQ(decide_named("a.example", {"a.example", "b.example"}), Action::kAllow);
}

TEST(JudgeTest, JudgesAHelloAsItsConnectionWasOpened) {
  Judge judge;
  const auto goes_on = [&](const std::string& name, uint16_t port) {
    return judge
        .DecideHello(*IpAddress::Parse(kPublicAddress), port, HelloFor(name), absl::UnixEpoch())
        .verdict.action;
  };
  SetPolicy(judge, "none", {"deny a.example", "allow 8.8.8.0/24"});
  EXPECT_EQ(goes_on("a.example", 443), Action::kAllow) << "open by number";
  SetPolicy(judge, "public", {"deny a.example"});
  EXPECT_EQ(goes_on("b.example", 443), Action::kAllow);
  EXPECT_EQ(goes_on("b.example", 853), Action::kDeny);
}

}  // namespace
}  // namespace msb::net
