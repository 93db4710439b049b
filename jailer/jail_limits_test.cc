// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The cgroup's limits at work, with whatever hierarchies this host has.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/jailer/jail_run.h"

namespace msb {
namespace {

using testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class JailLimitsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = NoJailHere()) GTEST_SKIP() << *reason;
    run_.UseCgroup();
    folders_ = run_.CgroupFolders();
    for (const char* controller : {"memory", "cpu", "pids"}) {
      if (folders_.count(controller) == 0) GTEST_SKIP() << "no cgroup controller " << controller;
    }
  }
  JailRun run_;
  std::map<std::string, std::string> folders_;
};

TEST_F(JailLimitsTest, KillsAMemoryHogAtItsLimit) {
  run_.flags.push_back(absl::StrCat("--memory-max=", 32 << 20));
  run_.argv = {"probe", "hog", "64"};

  const JailResult result = run_.Run();

  ASSERT_EQ(result.exit_code, 0) << result.error;
  ASSERT_TRUE(result.probe.has_value());
  EXPECT_TRUE(WIFSIGNALED(*result.probe) && WTERMSIG(*result.probe) == SIGKILL)
      << "wait status " << *result.probe;
  EXPECT_EQ(result.output, "");
}

TEST_F(JailLimitsTest, LetsWhatFitsBelowTheMemoryLimitLive) {
  run_.flags.push_back(absl::StrCat("--memory-max=", 32 << 20));
  run_.argv = {"probe", "hog", "16"};

  EXPECT_EQ(run_.Run().said["hog"], "done");
}

TEST_F(JailLimitsTest, StopsAForkBombAtItsLimit) {
  run_.flags.push_back("--pids-max=20");
  run_.argv = {"probe", "forks", "200"};

  const JailResult result = run_.Run();

  ASSERT_EQ(result.exit_code, 0) << result.error;
  // Beside pid 1; the jailer may not have left a v1 hierarchy yet.
  const int forks = std::stoi(result.said.at("forks"));
  EXPECT_LE(forks, 19);
  EXPECT_GE(forks, 18);
}

TEST_F(JailLimitsTest, RecordsTheCpuQuota) {
  run_.flags.push_back("--cpu-milli=1500");
  run_.argv = {"probe", "stay"};

  JailResult result = run_.Start();
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const std::string& folder = folders_["cpu"];
  if (std::filesystem::exists(folder + "/cpu.max")) {
    EXPECT_EQ(ReadFile(folder + "/cpu.max"), "150000 100000\n");
  } else {
    EXPECT_EQ(ReadFile(folder + "/cpu.cfs_quota_us"), "150000\n");
    EXPECT_EQ(ReadFile(folder + "/cpu.cfs_period_us"), "100000\n");
  }
  run_.Finish(result);
}

TEST_F(JailLimitsTest, IsAMemberOfEveryHierarchy) {
  run_.argv = {"probe", "stay"};

  JailResult result = run_.Start();
  ASSERT_EQ(result.exit_code, 0) << result.error;
  for (const auto& [controller, folder] : folders_) {
    EXPECT_NE(ReadFile(folder + "/cgroup.procs"), "") << controller;
  }
  run_.Finish(result);
  for (const auto& [controller, folder] : folders_) {
    EXPECT_EQ(ReadFile(folder + "/cgroup.procs"), "") << controller;
  }
}

TEST_F(JailLimitsTest, RefusesACgroupThatIsInUse) {
  run_.argv = {"probe", "stay"};
  JailResult first = run_.Start();
  ASSERT_EQ(first.exit_code, 0) << first.error;
  JailRun second;
  for (const std::string& flag : run_.flags) {
    if (flag.rfind("--cgroup", 0) == 0) second.flags.push_back(flag);
  }

  const JailResult refused = second.Run();
  run_.Finish(first);

  EXPECT_EQ(refused.exit_code, 67);
  EXPECT_THAT(refused.error, HasSubstr("has processes already"));
}

}  // namespace
}  // namespace msb
