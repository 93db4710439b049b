// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/jailer_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/launch/jailer_run.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class JailerCommandLineTest : public testing::Test {
 protected:
  JailerCommandLineTest() {
    spec_.id = "box";
    spec_.engine = pb::ENGINE_KVM;
    spec_.memory_mib = 512;
    plan_.runtime_directory = "/run/msb/box";
    plan_.cgroup = "microsandbox/box";
    plan_.uid = 1'880'000'007;
    options_.kvm_overhead_mib = 64;
    options_.qemu_directory = "/opt/qemu";
    inputs_.fds[kSpecFd];
    inputs_.fds[kFirstDiskFd];
    layout_.hierarchies = {{CgroupVersion::kV1, "/sys/fs/cgroup/memory", {"memory"}},
                           {CgroupVersion::kV2, "/sys/fs/cgroup/unified", {}}};
  }
  std::vector<std::string> Words() {
    return JailerCommandLine(spec_, plan_, options_, layout_, inputs_);
  }
  LaunchSpec spec_;
  LaunchPlan plan_;
  LaunchOptions options_;
  CgroupLayout layout_;
  VmmInputs inputs_;
};

TEST_F(JailerCommandLineTest, SaysWhatTheJailIs) {
  EXPECT_THAT(Words(), AllOf(Contains("--id=box"), Contains("--root=/run/msb/box"),
                             Contains("--uid=1880000007"), Contains("--gid=1880000007"),
                             Contains("--keep-fd=3"), Contains("--keep-fd=16")));
  const std::vector<std::string> words = Words();
  EXPECT_THAT(std::vector<std::string>(words.end() - 4, words.end()),
              ElementsAre("--", "msb-vmm", "--spec-fd", "3"));
}

TEST_F(JailerCommandLineTest, LimitsMemoryAndCpuOfTheCgroup) {
  spec_.vcpus = 2;
  EXPECT_THAT(Words(), AllOf(Contains("--cgroup=microsandbox/box"),
                             Contains("--cgroup-v1=memory:/sys/fs/cgroup/memory"),
                             Contains("--cgroup-v2=:/sys/fs/cgroup/unified"),
                             Contains("--memory-max=603979776"), Contains("--cpu-milli=2000")));
  spec_.cpu_milli = 250;
  EXPECT_THAT(Words(), Contains("--cpu-milli=250"));
}

TEST_F(JailerCommandLineTest, SaysNothingOfCgroupsOnAHostWithoutThem) {
  layout_.hierarchies.clear();
  for (const char* flag : {"--cgroup", "--memory-max", "--cpu-milli", "--pids-max"}) {
    EXPECT_THAT(Words(), Each(Not(StartsWith(flag))));
  }
}

TEST_F(JailerCommandLineTest, AllowsFilesOfTheSizeOfMemoryOrDisk) {
  EXPECT_THAT(Words(), Contains("--fsize=538968064"));
  inputs_.largest_disk_bytes = 9'000'000'000;
  EXPECT_THAT(Words(), Contains("--fsize=9000000000"));
}

TEST_F(JailerCommandLineTest, MountsQemuForItsEngineAlone) {
  EXPECT_THAT(Words(), AllOf(Each(Not(HasSubstr("qemu"))), Not(Contains("--proc"))));
  spec_.engine = pb::ENGINE_QEMU;
  EXPECT_THAT(Words(), AllOf(Contains("--bind-ro=/opt/qemu:/qemu"), Contains("--proc"),
                             Contains("--dev=null")));
}

TEST_F(JailerCommandLineTest, SeccompIsOffOnlyWhereItIsAskedFor) {
  EXPECT_THAT(Words(), Not(Contains("--debug-without-seccomp")));
  options_.seccomp = SeccompUse::kOffForDebugging;
  EXPECT_EQ(Words().back(), "--debug-without-seccomp");
}

TEST(JailerReportTest, ReadsPidAndError) {
  const JailerReport started = ParseJailerReport("pid=4711\n");
  EXPECT_EQ(started.pid, 4711);
  EXPECT_EQ(started.error, "");

  const JailerReport failed = ParseJailerReport("pid=4711\nerror=step 7: a=b\n");
  EXPECT_EQ(failed.pid, 4711);
  EXPECT_EQ(failed.error, "step 7: a=b");

  EXPECT_FALSE(failed.failed_source.has_value());
  EXPECT_FALSE(ParseJailerReport("").pid.has_value());
  EXPECT_FALSE(ParseJailerReport("pid=-1\npid=0\npid=x\n").pid.has_value());
}

TEST(JailerReportTest, ReadsWhichSourceFailedAndWhy) {
  const JailerReport report = ParseJailerReport(
      "pid=1\nerror=msb-jailer: step 14 (sources): source 9: open: a; b; check that it exists\n");

  ASSERT_TRUE(report.failed_source.has_value());
  EXPECT_EQ(report.failed_source->fd, 9);
  EXPECT_EQ(report.failed_source->cause, "open: a; b");
  EXPECT_FALSE(ParseJailerReport("error=x (sources): source : y; z\n").failed_source.has_value());
}

}  // namespace
}  // namespace msb
