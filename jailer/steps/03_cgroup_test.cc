// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Against folders that look like cgroup file systems: what is written where, for hosts of either
// kind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "jailer/plan.h"
#include "jailer/steps/steps.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;

// Each begins empty: a plain file is written over from its start, and keeps what stood behind that.
void MakeFiles(const TempDir& root, const std::string& folder,
               const std::vector<std::string>& names) {
  std::filesystem::create_directories(root.path() + "/" + folder);
  for (const std::string& name : names) root.Write(folder + "/" + name, "");
}

Plan LimitedPlan() {
  Plan plan;
  plan.cgroup = "msb/box";
  plan.memory_max = 600 << 20;
  plan.cpu_milli = 1500;
  plan.pids_max = 99;
  return plan;
}

class CgroupV2Test : public testing::Test {
 protected:
  CgroupV2Test() : plan_(LimitedPlan()) {
    MakeFiles(root_, ".", {"cgroup.subtree_control"});
    MakeFiles(root_, "msb", {"cgroup.subtree_control"});
    MakeFiles(root_, "msb/box",
              {"cgroup.procs", "memory.max", "memory.swap.max", "memory.oom.group", "cpu.max",
               "pids.max"});
    plan_.hierarchies.push_back({CgroupVersion::kV2, root_.path(), {"memory", "cpu", "pids"}});
  }
  TempDir root_;
  Plan plan_;
};

TEST_F(CgroupV2Test, WritesTheLimits) {
  ASSERT_OK(MakeCgroup(plan_));

  EXPECT_EQ(root_.Read("msb/box/memory.max"), "629145600");
  EXPECT_EQ(root_.Read("msb/box/memory.swap.max"), "0");
  EXPECT_EQ(root_.Read("msb/box/memory.oom.group"), "1");
  EXPECT_EQ(root_.Read("msb/box/cpu.max"), "150000 100000");
  EXPECT_EQ(root_.Read("msb/box/pids.max"), "99");
}

TEST_F(CgroupV2Test, GivesTheControllersToTheChildrenAllTheWayDown) {
  root_.Write("cgroup.subtree_control", "cpuset cpu memory pids\n");

  ASSERT_OK(MakeCgroup(plan_));

  EXPECT_EQ(root_.Read("msb/cgroup.subtree_control"), "+memory +cpu +pids");
  EXPECT_EQ(root_.Read("cgroup.subtree_control"), "cpuset cpu memory pids\n");
}

TEST_F(CgroupV2Test, JoinsByCloneAndNotByWriting) {
  ASSERT_OK(MakeCgroup(plan_));

  EXPECT_EQ(root_.Read("msb/box/cgroup.procs"), "");
}

TEST_F(CgroupV2Test, WorksWithoutSwapAccounting) {
  std::filesystem::remove(root_.path() + "/msb/box/memory.swap.max");

  EXPECT_OK(MakeCgroup(plan_));
}

TEST_F(CgroupV2Test, NamesTheFileThatCannotBeWritten) {
  std::filesystem::remove(root_.path() + "/msb/box/pids.max");

  const absl::Status status = MakeCgroup(plan_);

  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("msb/box/pids.max"));
}

TEST_F(CgroupV2Test, RefusesACgroupThatHasProcesses) {
  root_.Write("msb/box/cgroup.procs", "4711\n");

  EXPECT_THAT(MakeCgroup(plan_), HasReason(Reason::kHostError));
}

TEST_F(CgroupV2Test, SetsNoLimitThatIsNotAskedFor) {
  plan_.memory_max.reset();
  plan_.cpu_milli.reset();

  ASSERT_OK(MakeCgroup(plan_));

  EXPECT_EQ(root_.Read("msb/box/memory.max"), "");
  EXPECT_EQ(root_.Read("msb/box/cpu.max"), "");
  EXPECT_EQ(root_.Read("msb/box/pids.max"), "99");
}

TEST(CgroupV1Test, WritesTheLimitsAndJoins) {
  TempDir root;
  MakeFiles(root, "memory/msb/box",
            {"cgroup.procs", "tasks", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
             "memory.swappiness"});
  MakeFiles(root, "cpu/msb/box",
            {"cgroup.procs", "tasks", "cpu.cfs_period_us", "cpu.cfs_quota_us"});
  MakeFiles(root, "pids/msb/box", {"cgroup.procs", "tasks", "pids.max"});
  Plan plan = LimitedPlan();
  plan.hierarchies = {{CgroupVersion::kV1, root.path() + "/memory", {"memory"}},
                      {CgroupVersion::kV1, root.path() + "/cpu", {"cpu", "cpuacct"}},
                      {CgroupVersion::kV1, root.path() + "/pids", {"pids"}}};

  ASSERT_OK(MakeCgroup(plan));

  EXPECT_EQ(root.Read("memory/msb/box/memory.limit_in_bytes"), "629145600");
  EXPECT_EQ(root.Read("memory/msb/box/memory.memsw.limit_in_bytes"), "629145600");
  EXPECT_EQ(root.Read("memory/msb/box/memory.swappiness"), "0");
  EXPECT_EQ(root.Read("cpu/msb/box/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(root.Read("cpu/msb/box/cpu.cfs_quota_us"), "150000");
  EXPECT_EQ(root.Read("pids/msb/box/pids.max"), "99");
  for (const char* controller : {"memory", "cpu", "pids"}) {
    EXPECT_EQ(root.Read(std::string(controller) + "/msb/box/tasks"), "0");
  }
}

}  // namespace
}  // namespace msb
