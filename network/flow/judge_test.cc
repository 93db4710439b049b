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
  const absl::StatusOr<Policy> policy =
      ParsePolicy("none", std::vector<std::string>{"deny b.example", "allow a.example"});
  ASSERT_OK(policy);
  judge.SetPolicy(*policy);
  const IpAddress address = *IpAddress::Parse("8.8.8.8");
  const absl::Time now = absl::UnixEpoch();
  const auto decide = [&](const std::vector<std::string>& kept) {
    return judge.Decide(Direction::kOut, Protocol::kTcp, address, 443, now, kept).verdict.action;
  };
  const auto decide_named = [&](const std::string& name, const std::vector<std::string>& kept) {
    return judge.DecideNamed(address, 443, name, now, kept).verdict.action;
  };
  EXPECT_EQ(decide({}), Action::kDeny);
  EXPECT_EQ(decide({"a.example"}), Action::kAllow);
  EXPECT_EQ(decide_named("a.example", {}), Action::kDeny);
  EXPECT_EQ(decide_named("a.example", {"a.example"}), Action::kAllow);
  EXPECT_EQ(decide_named("b.example", {"a.example", "b.example"}), Action::kDeny);
}

}  // namespace
}  // namespace msb::net
