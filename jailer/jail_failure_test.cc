// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Each step that can be made to fail: its exit code, and its line on stderr and in the report.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "jailer/step.h"
#include "tests/support/jailer/jail_run.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr uid_t kNobody = 65534;

class JailFailureTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = NoJailHere()) GTEST_SKIP() << *reason;
  }
  void ExpectFailure(Step step, const std::string& cause) {
    const JailResult result = run_.Run();
    EXPECT_EQ(result.exit_code, ExitCodeOf(step)) << result.error;
    const std::string start =
        absl::StrCat("msb-jailer: step ", static_cast<int>(step), " (", NameOf(step), "): ");
    EXPECT_THAT(result.error, StartsWith(start));
    EXPECT_THAT(result.error, HasSubstr(cause));
    // The plan names the status descriptor: before it is understood, there is none.
    if (step != Step::kPlan) {
      EXPECT_THAT(result.status, HasSubstr("error=" + result.error));
    }
    EXPECT_EQ(result.output, "") << "the probe ran";
    if (result.probe) {
      EXPECT_EQ(WEXITSTATUS(*result.probe), ExitCodeOf(step));
    }
  }
  JailRun run_;
};

TEST_F(JailFailureTest, Plan) {
  run_.flags.push_back("--colour=red");
  ExpectFailure(Step::kPlan, "\"--colour=red\" is no flag");
}

TEST_F(JailFailureTest, Privileges) {
  run_.jailer_uid = kNobody;
  ExpectFailure(Step::kPrivileges, "start the daemon as root");
}

TEST_F(JailFailureTest, Descriptors) {
  run_.flags.push_back("--keep-fd=77");
  ExpectFailure(Step::kDescriptors, "descriptor 77: Bad file descriptor");
}

TEST_F(JailFailureTest, Cgroup) {
  run_.flags.push_back("--cgroup=msb-jail-test/none");
  run_.flags.push_back("--cgroup-v1=memory:/nonexistent");
  ExpectFailure(Step::kCgroup, "/nonexistent/msb-jail-test: No such file");
}

TEST_F(JailFailureTest, Namespaces) {
  run_.without_capabilities = {CAP_SYS_ADMIN};
  ExpectFailure(Step::kNamespaces, "clone3: Operation not permitted");
}

TEST_F(JailFailureTest, Root) {
  run_.Replace("--root=", "--root=/nonexistent");
  ExpectFailure(Step::kRoot, "/nonexistent: No such file");
}

TEST_F(JailFailureTest, MountsOfAMissingSource) {
  run_.flags.push_back("--bind-ro=/nonexistent:/a");
  ExpectFailure(Step::kMounts, "/nonexistent: No such file");
}

TEST_F(JailFailureTest, MountsOnAPlaceThatIsTaken) {
  run_.flags.push_back("--bind-ro=/etc/passwd:/a");
  run_.flags.push_back("--bind-ro=/etc/group:/a");
  ExpectFailure(Step::kMounts, "File exists");
}

TEST_F(JailFailureTest, Capabilities) {
  run_.without_capabilities = {CAP_SETPCAP};
  ExpectFailure(Step::kCapabilities, "Operation not permitted");
}

TEST_F(JailFailureTest, IdentityOfTheGroup) {
  run_.without_capabilities = {CAP_SETGID};
  ExpectFailure(Step::kIdentity, "setgroups: Operation not permitted");
}

TEST_F(JailFailureTest, IdentityOfTheUser) {
  run_.without_capabilities = {CAP_SETUID};
  ExpectFailure(Step::kIdentity, absl::StrCat("become user ", JailRun::kUid));
}

TEST_F(JailFailureTest, ExecOfWhatIsNoProgram) {
  run_.executable = "/etc/passwd";
  ExpectFailure(Step::kExec, "execute probe: Permission denied");
}

TEST_F(JailFailureTest, ExecOfWhatNeedsALoader) {
  run_.executable = "/bin/true";
  ExpectFailure(Step::kExec, "static executable");
}

TEST_F(JailFailureTest, ExecOfWhatTheJailsUserMayNotRun) {
  TempDir folder;
  folder.Write("program", "#!/bin/sh\n");
  run_.executable = folder.path() + "/program";
  ASSERT_EQ(::chmod(run_.executable.c_str(), 0700), 0);
  ExpectFailure(Step::kExec, "Permission denied");
}

}  // namespace
}  // namespace msb
