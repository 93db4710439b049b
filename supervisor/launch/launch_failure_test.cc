// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Launches that fail, at every stage: the reason, and that nothing is left.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/support/launch/launch_fixture.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::HasSubstr;

class LaunchFailureTest : public LaunchFixture {
 protected:
  // Launches with the options as they are now.
  void ExpectFailure(const LaunchSpec& spec, Reason reason, const std::string& cause) {
    const std::unique_ptr<JailedLauncher> launcher = NewLauncher();
    const int before = CountOpenDescriptors();

    const auto vmm = launcher->Launch(spec);

    EXPECT_THAT(vmm, HasReason(reason));
    EXPECT_THAT(std::string(vmm.status().message()), HasSubstr(cause));
    const LaunchPlan plan = launcher->Plan(spec.id, spec.slot);
    ExpectCleared(plan);
    EXPECT_FALSE(std::filesystem::exists(plan.runtime_directory));
    EXPECT_EQ(CountOpenDescriptors(), before);
  }
  std::string WriteProgram(const std::string& name, const std::string& text) {
    folder_.Write(name, text);
    const std::string path = folder_.path() + "/" + name;
    ::chmod(path.c_str(), 0755);
    return path;
  }
};

TEST_F(LaunchFailureTest, WithoutKernel) {
  LaunchSpec spec = SpecOf(1);
  spec.kernel_path = "/nonexistent/vmlinux";
  ExpectFailure(spec, Reason::kAssetMissing, "the kernel: /nonexistent/vmlinux");
}

TEST_F(LaunchFailureTest, WithoutJailer) {
  options_.jailer_path = "/nonexistent/msb-jailer";
  ExpectFailure(SpecOf(1), Reason::kJailFailed, "/nonexistent/msb-jailer");
}

TEST_F(LaunchFailureTest, WithoutVmm) {
  options_.vmm_path = "/nonexistent/msb-vmm";
  ExpectFailure(SpecOf(1), Reason::kAssetMissing, "the executable: /nonexistent/msb-vmm");
}

TEST_F(LaunchFailureTest, WithAVmmThatNeedsALoader) {
  options_.vmm_path = "/bin/true";
  ExpectFailure(SpecOf(1), Reason::kJailFailed, "step 13 (exec): execute msb-vmm");
}

TEST_F(LaunchFailureTest, WithoutTheFolderOfQemu) {
  options_.qemu_directory = "/nonexistent/qemu";
  ExpectFailure(SpecOf(1), Reason::kJailFailed, "step 7 (mounts): /nonexistent/qemu");
  options_.qemu_directory = "";
  ExpectFailure(SpecOf(1), Reason::kQemuUnavailable, "not installed");
}

TEST_F(LaunchFailureTest, WithAJailerThatSaysNothing) {
  options_.jailer_path = WriteProgram("jailer", "#!/bin/sh\nexit 64\n");
  ExpectFailure(SpecOf(1), Reason::kJailFailed, "ended with code 64");
}

TEST_F(LaunchFailureTest, WithAJailerThatCrashes) {
  options_.jailer_path = WriteProgram("jailer", "#!/bin/sh\nkill -SEGV $$\n");
  ExpectFailure(SpecOf(1), Reason::kJailFailed, "killed by signal 11");
}

TEST_F(LaunchFailureTest, WithAJailerThatHangs) {
  options_.jailer_path = WriteProgram("jailer", "#!/bin/sh\nexec sleep 1000\n");
  options_.launch_timeout = absl::Milliseconds(50);
  ExpectFailure(SpecOf(1), Reason::kJailFailed, "in time");
}

TEST_F(LaunchFailureTest, OfADiskThatAnotherSandboxWritesTo) {
  ASSERT_OK(launcher().Launch(SpecOf(1)));
  LaunchSpec second = SpecOf(2);
  second.disks[1] = SpecOf(1).disks[1];
  ExpectFailure(second, Reason::kHostError, "in use by another sandbox");
  second.disks[1].read_only = true;
  ExpectFailure(second, Reason::kHostError, "in use by another sandbox");

  ASSERT_OK(launcher().CleanUp(launcher().Plan("box1", 1)));
  second.disks[1].read_only = false;
  EXPECT_OK(launcher().Launch(second));
}

TEST_F(LaunchFailureTest, OfADiskThatIsNoFile) {
  LaunchSpec spec = SpecOf(1);
  spec.disks[0].path = folder_.path();
  ExpectFailure(spec, Reason::kHostError, "neither a file nor a block device");
}

TEST_F(LaunchFailureTest, OfAnIdThatLeadsOutOfTheRuntimeRoot) {
  for (const char* id : {"", ".", "..", "a/b", "../x"}) {
    LaunchSpec spec = SpecOf(1);
    spec.id = id;
    EXPECT_THAT(launcher().Launch(spec), HasReason(Reason::kInvalidArgument)) << id;
  }
}

TEST(LaunchOptionsTest, RefusesWhatCannotWork) {
  const auto create = [](auto change) {
    LaunchOptions options;
    change(options);
    return JailedLauncher::Create(options).status();
  };
  EXPECT_THAT(create([](LaunchOptions& o) { o.vmm_path = "msb-vmm"; }),
              HasReason(Reason::kConfigInvalid));
  EXPECT_THAT(create([](LaunchOptions& o) { o.runtime_root = "/" + std::string(60, 'x'); }),
              HasReason(Reason::kConfigInvalid));
  EXPECT_THAT(create([](LaunchOptions& o) { o.base_uid = 0; }), HasReason(Reason::kConfigInvalid));
  EXPECT_THAT(create([](LaunchOptions& o) { o.base_uid = 2'147'480'000; }),
              HasReason(Reason::kConfigInvalid));
}

}  // namespace
}  // namespace msb
