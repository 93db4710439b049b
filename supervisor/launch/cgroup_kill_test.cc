// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Killing what fights back, in this host's own cgroups: with all hierarchies, and as on a host that
// has v1 alone.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "supervisor/launch/cgroup.h"
#include "supervisor/launch/host_file.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

constexpr char kParent[] = "msb-kill-test";
constexpr int kMaxProcesses = 40;

class CgroupKillTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(layout_, DetectCgroupLayout());
    if (layout_.WithController("pids") == nullptr) GTEST_SKIP() << "no cgroup controller pids";
  }
  void TearDown() override {
    EXPECT_OK(Cgroup(layout_, name_).Remove());
    EXPECT_OK(Cgroup(layout_, kParent).Remove());
  }
  void MakeCgroup() {
    for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
      const std::string parent = absl::StrCat(hierarchy.mount, "/", kParent);
      ::mkdir(parent.c_str(), 0755);
      if (hierarchy.version == CgroupVersion::kV2 && !hierarchy.controllers.empty()) {
        ASSERT_OK(WriteHostFile(parent + "/cgroup.subtree_control", "+pids"));
      }
      ASSERT_EQ(::mkdir(absl::StrCat(hierarchy.mount, "/", name_).c_str(), 0755), 0);
    }
    const std::string pids = absl::StrCat(layout_.WithController("pids")->mount, "/", name_);
    ASSERT_OK(WriteHostFile(pids + "/pids.max", absl::StrCat(kMaxProcesses)));
  }
  // A child in the cgroup whose descendants make others for as long as they live.
  void StartForkBomb() {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    if (::fork() == 0) {
      for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
        const auto joined =
            WriteHostFile(absl::StrCat(hierarchy.mount, "/", name_, "/cgroup.procs"), "0");
        if (!joined.ok()) ::_exit(1);
      }
      [[maybe_unused]] auto written = ::write(ends[1], "x", 1);
      while (true) {
        if (::fork() < 0) ::usleep(100);
      }
    }
    char byte;
    ASSERT_EQ(::read(ends[0], &byte, 1), 1);
    ::close(ends[0]);
    ::close(ends[1]);
  }
  CgroupLayout layout_;
  const std::string name_ = absl::StrCat(kParent, "/", ::getpid());
};

TEST_F(CgroupKillTest, EndsAForkBomb) {
  MakeCgroup();
  StartForkBomb();

  ASSERT_OK(Cgroup(layout_, name_).Kill(absl::Now() + absl::Minutes(1)));

  ASSERT_OK_AND_ASSIGN(const auto left, Cgroup(layout_, name_).Processes());
  EXPECT_TRUE(left.empty());
}

TEST_F(CgroupKillTest, EndsAForkBombWithV1Alone) {
  auto& all = layout_.hierarchies;
  all.erase(std::remove_if(all.begin(), all.end(),
                           [](const auto& h) { return h.version == CgroupVersion::kV2; }),
            all.end());
  if (layout_.WithController("pids") == nullptr) GTEST_SKIP() << "no v1 controller pids";
  MakeCgroup();
  StartForkBomb();

  ASSERT_OK(Cgroup(layout_, name_).Kill(absl::Now() + absl::Minutes(1)));

  ASSERT_OK_AND_ASSIGN(const auto left, Cgroup(layout_, name_).Processes());
  EXPECT_TRUE(left.empty());
}

TEST_F(CgroupKillTest, ReapsTheChildrenThatItKills) {
  MakeCgroup();
  StartForkBomb();

  ASSERT_OK(Cgroup(layout_, name_).Kill(absl::Now() + absl::Minutes(1)));

  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace msb
