// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Words = std::vector<std::string>;

Words WithCommand(Words flags) {
  flags.insert(flags.end(), {"--", "msb-vmm", "--spec-fd=5"});
  return flags;
}

Words Least() {
  return {"--id=box", "--status-fd=3", "--exec-fd=4", "--root=/run/box", "--uid=7", "--gid=8"};
}

Words LeastAnd(const Words& more) {
  Words flags = Least();
  flags.insert(flags.end(), more.begin(), more.end());
  return WithCommand(flags);
}

TEST(PlanTest, TakesTheLeastThatAJailNeeds) {
  ASSERT_OK_AND_ASSIGN(const Plan plan, ParsePlan(WithCommand(Least())));

  EXPECT_EQ(plan.id, "box");
  EXPECT_EQ(plan.status_fd, 3);
  EXPECT_EQ(plan.exec_fd, 4);
  EXPECT_EQ(plan.root, "/run/box");
  EXPECT_EQ(plan.uid, 7u);
  EXPECT_EQ(plan.gid, 8u);
  EXPECT_EQ(plan.nofile, 1024u);
  EXPECT_FALSE(plan.proc);
  EXPECT_THAT(plan.argv, ElementsAre("msb-vmm", "--spec-fd=5"));
}

TEST(PlanTest, TakesEveryFlag) {
  ASSERT_OK_AND_ASSIGN(
      const Plan plan,
      ParsePlan(LeastAnd({"--keep-fd=9", "--keep-fd=6", "--keep-fd=9", "--cgroup=msb/box",
                          "--cgroup-v2=:/sys/fs/cgroup/unified",
                          "--cgroup-v1=cpu,cpuacct:/sys/fs/cgroup/cpu", "--memory-max=1048576",
                          "--cpu-milli=1500", "--pids-max=64", "--bind-ro=/opt/a:b:/qemu",
                          "--tmpfs=/run:65536", "--proc", "--dev=null,urandom", "--nofile=4096",
                          "--fsize=5000"})));

  EXPECT_THAT(plan.keep_fds, ElementsAre(6, 9));
  EXPECT_EQ(plan.cgroup, "msb/box");
  ASSERT_EQ(plan.hierarchies.size(), 2u);
  EXPECT_EQ(plan.hierarchies[0].version, CgroupVersion::kV1);
  EXPECT_THAT(plan.hierarchies[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(plan.hierarchies[1].version, CgroupVersion::kV2);
  EXPECT_EQ(plan.hierarchies[1].mount, "/sys/fs/cgroup/unified");
  EXPECT_EQ(plan.memory_max, 1048576u);
  EXPECT_EQ(plan.cpu_milli, 1500u);
  EXPECT_EQ(plan.pids_max, 64u);
  ASSERT_EQ(plan.binds.size(), 1u);
  EXPECT_EQ(plan.binds[0].source, "/opt/a:b");
  EXPECT_EQ(plan.binds[0].target, "/qemu");
  ASSERT_EQ(plan.tmpfs.size(), 1u);
  EXPECT_EQ(plan.tmpfs[0].bytes, 65536u);
  EXPECT_TRUE(plan.proc);
  EXPECT_THAT(plan.devices, ElementsAre("null", "urandom"));
  EXPECT_EQ(plan.nofile, 4096u);
  EXPECT_EQ(plan.fsize, 5000u);
}

TEST(PlanTest, WordsBehindTheDashesAreNoFlags) {
  Words words = WithCommand(Least());
  words.push_back("--uid=0");
  words.push_back("--");

  ASSERT_OK_AND_ASSIGN(const Plan plan, ParsePlan(words));

  EXPECT_THAT(plan.argv, ElementsAre("msb-vmm", "--spec-fd=5", "--uid=0", "--"));
}

TEST(PlanTest, NamesTheFlagThatIsMissing) {
  for (const std::string& missing : Least()) {
    Words flags;
    for (const std::string& flag : Least()) {
      if (flag != missing) flags.push_back(flag);
    }

    const absl::StatusOr<Plan> plan = ParsePlan(WithCommand(flags));

    EXPECT_THAT(plan, HasReason(Reason::kInvalidArgument));
    EXPECT_THAT(std::string(plan.status().message()),
                HasSubstr(missing.substr(0, missing.find('=')) + " is missing"));
  }
}

TEST(PlanTest, RefusesACommandLineWithoutCommand) {
  Words words = Least();
  EXPECT_THAT(ParsePlan(words), HasReason(Reason::kInvalidArgument));
  words.push_back("--");
  EXPECT_THAT(ParsePlan(words), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(ParsePlan({}), HasReason(Reason::kInvalidArgument));
}

class RefusedFlagTest : public testing::TestWithParam<const char*> {};

TEST_P(RefusedFlagTest, IsRefused) {
  EXPECT_THAT(ParsePlan(LeastAnd({GetParam()})), HasReason(Reason::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(
    PlanTest, RefusedFlagTest,
    testing::Values("--unknown=1", "--proc=1", "uid=7", "", "-", "--keep-fd=2", "--keep-fd=-1",
                    "--keep-fd=3", "--keep-fd=4", "--keep-fd=", "--keep-fd= 5", "--keep-fd=5x",
                    "--keep-fd=99999999999999999999", "--uid=7", "--bind-ro=/a", "--bind-ro=a:/b",
                    "--bind-ro=/a:b", "--bind-ro=/a:/", "--bind-ro=/a:/b/../c",
                    "--bind-ro=/a:/b//c", "--bind-ro=/a/:/b", "--tmpfs=/t:0", "--tmpfs=/t:-1",
                    "--tmpfs=/t:1g", "--dev=kvm", "--dev=../kvm", "--dev=null,,zero",
                    "--cgroup=a/b", "--cgroup=/a", "--memory-max=1",
                    "--cgroup-v2=memory:/sys/fs/cgroup", "--cgroup-v1=:/sys/fs/cgroup/cpu",
                    "--nofile=0", "--fsize=0"));

TEST(PlanTest, TakesTheFlagsOfACompanion) {
  ASSERT_OK_AND_ASSIGN(
      const Plan plan,
      ParsePlan(LeastAnd({"--groups=4,0,20", "--keep-caps=chown,net_raw", "--net=host",
                          "--open=9:dir-rw:/home/a:b/../c", "--open=10:file-ro:/etc/motd"})));

  EXPECT_THAT(plan.groups, ElementsAre(4u, 0u, 20u));
  EXPECT_THAT(plan.keep_capabilities, ElementsAre(CAP_CHOWN, CAP_NET_RAW));
  EXPECT_EQ(plan.network, Network::kHost);
  ASSERT_EQ(plan.opens.size(), 2u);
  EXPECT_EQ(plan.opens[0].fd, 9);
  EXPECT_EQ(plan.opens[0].kind, OpenKind::kDirectoryReadWrite);
  EXPECT_EQ(plan.opens[0].path, "/home/a:b/../c");
  EXPECT_EQ(plan.opens[1].kind, OpenKind::kFileReadOnly);
}

TEST(PlanTest, RefusesWhatNoCompanionMayHave) {
  for (const char* flag :
       {"--groups=x", "--groups=4294967296", "--keep-caps=sys_admin", "--keep-caps=CHOWN",
        "--net=any", "--open=9:dir-rw", "--open=2:dir-rw:/a", "--open=9:dir:/a",
        "--open=9:dir-rw:a", "--open=9:dir-rw:", "--open=3:dir-rw:/a", "--open=4:dir-rw:/a"}) {
    EXPECT_THAT(ParsePlan(LeastAnd({flag})), HasReason(Reason::kInvalidArgument)) << flag;
  }
  EXPECT_THAT(ParsePlan(LeastAnd({"--open=9:dir-rw:/a", "--open=9:dir-ro:/b"})),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(ParsePlan(LeastAnd({"--keep-fd=9", "--open=9:dir-ro:/b"})),
              HasReason(Reason::kInvalidArgument));
}

TEST(PlanTest, RefusesRootAsTheJailsUser) {
  EXPECT_THAT(ParsePlan(WithCommand({"--id=box", "--status-fd=3", "--exec-fd=4", "--root=/run/box",
                                     "--uid=0", "--gid=8"})),
              HasReason(Reason::kInvalidArgument));
}

TEST(PlanTest, RefusesACgroupNameThatLeadsUpwards) {
  EXPECT_THAT(ParsePlan(LeastAnd({"--cgroup=../x", "--cgroup-v2=:/sys/fs/cgroup"})),
              HasReason(Reason::kInvalidArgument));
}

}  // namespace
}  // namespace msb
