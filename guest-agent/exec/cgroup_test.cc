// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Needs root and a cgroup2 file system; skips where there is none.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "guest-agent/exec/cgroup_pool.h"
#include "tests/support/agent/test_agent.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

std::string FindCgroup2() {
  std::ifstream mounts("/proc/self/mounts");
  std::string source, target, type, rest;
  while (mounts >> source >> target >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return target;
  }
  return "";
}

// A folder of the test's own, gone with it.
class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string mount = FindCgroup2();
    if (mount.empty() || ::geteuid() != 0) GTEST_SKIP() << "needs root and a cgroup2 mount";
    directory_ = absl::StrCat(mount, "/msb-agent-test-", ::getpid());
  }
  void TearDown() override {
    if (directory_.empty()) return;
    for (int i = 1; i < 10; ++i) ::rmdir(absl::StrCat(directory_, "/exec-", i).c_str());
    ::rmdir(directory_.c_str());
  }
  bool Exists(int number) const {
    struct stat status {};
    return ::stat(absl::StrCat(directory_, "/exec-", number).c_str(), &status) == 0;
  }

  std::string directory_;
};

TEST_F(CgroupTest, TimeOutKillsWhatHasLeftTheSession) {
  TempDir directory;
  TestAgent agent({.cgroup_directory = directory_});
  agent::v1::Exec exec =
      MakeExec("a", {"sh", "-c",
                     absl::StrCat("setsid sh -c 'echo $$ > ", directory.path(),
                                  "/pid; exec sleep 1000' &"
                                  "until test -s ",
                                  directory.path(), "/pid; do sleep 0.01; done; wait")});
  exec.set_timeout_ms(500);
  EXPECT_TRUE(agent.Run(exec).exited.timed_out());
  const pid_t left = std::stoi(directory.Read("pid"));
  // Orphaned by its parent's death; whoever reaps it, it does not live.
  while (::kill(left, 0) == 0) {
    std::ifstream stat(absl::StrCat("/proc/", left, "/stat"));
    std::string pid, name, state;
    if (!(stat >> pid >> name >> state) || state == "Z") break;
  }
}

TEST_F(CgroupTest, UsesACgroupAgainOnceItIsEmpty) {
  TestAgent agent({.cgroup_directory = directory_});
  const std::string first = agent.Run(MakeExec("a", {"cat", "/proc/self/cgroup"})).out;
  const std::string second = agent.Run(MakeExec("b", {"cat", "/proc/self/cgroup"})).out;
  EXPECT_NE(first.find("/exec-1\n"), std::string::npos) << first;
  EXPECT_EQ(first, second);
  AgentClient daemon = agent.Start(MakeExec("c", {"sh", "-c", "sleep 1000 & echo $!"}));
  const pid_t left = std::stoi(ReadToEnd(daemon).out);
  const std::string third = agent.Run(MakeExec("d", {"cat", "/proc/self/cgroup"})).out;
  EXPECT_NE(third.find("/exec-2\n"), std::string::npos) << third;
  ::kill(left, SIGKILL);
}

TEST(CgroupPoolTest, GivesNoneWhereThereIsNoCgroup2) {
  TempDir directory;
  CgroupPool pool(directory.path());
  EXPECT_FALSE(pool.Take().valid());
  EXPECT_FALSE(CgroupPool("").Take().valid());
}

}  // namespace
}  // namespace msb
