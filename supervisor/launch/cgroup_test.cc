// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Against folders that look like cgroup file systems; cgroup_kill_test.cc has the real ones.

#include "supervisor/launch/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() { std::filesystem::create_directories(root_.path() + "/msb/box"); }
  void UseV2() {
    layout_.hierarchies = {{CgroupVersion::kV2, root_.path(), {"memory", "cpu", "pids"}}};
    root_.Write("msb/box/memory.current", "5000000\n");
    root_.Write("msb/box/memory.max", "268435456\n");
    root_.Write("msb/box/memory.stat", "anon 1\ninactive_file 1000000\nactive_file 5\n");
    root_.Write("msb/box/memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\n");
    root_.Write("msb/box/cpu.stat", "usage_usec 1234\nuser_usec 1000\n");
  }
  TempDir root_;
  CgroupLayout layout_;
};

TEST_F(CgroupTest, ReadsTheUsageOfV2) {
  UseV2();

  ASSERT_OK_AND_ASSIGN(const Launcher::Usage usage, Cgroup(layout_, "msb/box").ReadUsage());

  EXPECT_EQ(usage.cpu_ns, 1'234'000u);
  EXPECT_EQ(usage.memory_bytes, 4'000'000u);
  EXPECT_EQ(usage.memory_limit_bytes, 268'435'456u);
  EXPECT_FALSE(usage.oom_killed);
}

TEST_F(CgroupTest, TellsAnOomKillAndNoLimitOfV2) {
  UseV2();
  root_.Write("msb/box/memory.events", "oom 1\noom_kill 1\noom_group_kill 1\n");
  root_.Write("msb/box/memory.max", "max\n");

  ASSERT_OK_AND_ASSIGN(const Launcher::Usage usage, Cgroup(layout_, "msb/box").ReadUsage());

  EXPECT_TRUE(usage.oom_killed);
  EXPECT_EQ(usage.memory_limit_bytes, UINT64_MAX);
}

TEST_F(CgroupTest, ReadsTheUsageOfV1) {
  layout_.hierarchies = {{CgroupVersion::kV1, root_.path(), {"memory", "cpu", "cpuacct", "pids"}}};
  root_.Write("msb/box/memory.usage_in_bytes", "900\n");
  root_.Write("msb/box/memory.limit_in_bytes", "2000\n");
  root_.Write("msb/box/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n");
  root_.Write("msb/box/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  root_.Write("msb/box/cpuacct.usage", "777\n");

  ASSERT_OK_AND_ASSIGN(const Launcher::Usage usage, Cgroup(layout_, "msb/box").ReadUsage());

  EXPECT_EQ(usage.cpu_ns, 777u);
  EXPECT_EQ(usage.memory_bytes, 0u) << "the two are read one after the other";
  EXPECT_TRUE(usage.oom_killed);
}

TEST_F(CgroupTest, TellsThatThereIsNoCgroup) {
  UseV2();

  EXPECT_THAT(Cgroup(layout_, "msb/other").ReadUsage(), HasReason(Reason::kSandboxNotRunning));
}

TEST_F(CgroupTest, ListsProcessesOfAllHierarchiesOnce) {
  std::filesystem::create_directories(root_.path() + "/v1/msb/box");
  layout_.hierarchies = {{CgroupVersion::kV1, root_.path() + "/v1", {"memory"}},
                         {CgroupVersion::kV2, root_.path(), {}}};
  root_.Write("v1/msb/box/cgroup.procs", "12\n11\n");
  root_.Write("msb/box/cgroup.procs", "12\n13\n0\n");

  ASSERT_OK_AND_ASSIGN(const std::set<int> processes, Cgroup(layout_, "msb/box").Processes());
  EXPECT_THAT(processes, ElementsAre(11, 12, 13));
  ASSERT_OK_AND_ASSIGN(const std::set<int> none, Cgroup(layout_, "msb/other").Processes());
  EXPECT_THAT(none, IsEmpty());
}

TEST(IsMemberOfTest, ComparesTheWholeName) {
  constexpr char kText[] = "9:name=systemd:/\n4:memory:/msb/box1\n0::/\n";

  EXPECT_TRUE(IsMemberOf(kText, "msb/box1"));
  EXPECT_TRUE(IsMemberOf("0::/msb/a:b\n", "msb/a:b"));
  EXPECT_FALSE(IsMemberOf(kText, "msb/box"));
  EXPECT_FALSE(IsMemberOf(kText, "box1"));
  EXPECT_FALSE(IsMemberOf("", "msb/box1"));
}

}  // namespace
}  // namespace msb
