// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/exec_request.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "supervisor/config/settings.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

// A command over an image and a sandbox that both bring something.
class BuildExecTest : public testing::Test {
 protected:
  BuildExecTest() : limits_(DefaultConfig().limits) {
    spec_.argv = {"ls", "-l"};
    image_.env = {{"PATH", "/bin"}, {"LANG", "C"}};
    image_.workdir = "/image";
    image_.user = "app";
  }
  absl::StatusOr<msb::agent::v1::Exec> Build() {
    return BuildExec(spec_, "id1", sandbox_, image_, limits_);
  }
  static std::string Variable(const msb::agent::v1::Exec& exec, const std::string& name) {
    for (const auto& variable : exec.env()) {
      if (variable.name() == name) return variable.value();
    }
    return "(missing)";
  }

  ExecSpec spec_;
  msb::v1::SandboxSpec sandbox_;
  ImageConfig image_;
  LimitsConfig limits_;
};

TEST_F(BuildExecTest, TakesFromTheImageWhatNobodyElseSays) {
  ASSERT_OK_AND_ASSIGN(const auto exec, Build());
  EXPECT_EQ(exec.exec_id(), "id1");
  EXPECT_EQ(exec.argv(1), "-l");
  EXPECT_EQ(Variable(exec, "PATH"), "/bin");
  EXPECT_EQ(exec.cwd(), "/image");
  EXPECT_EQ(exec.user(), "app");
  EXPECT_EQ(exec.timeout_ms(), 0u);
  EXPECT_EQ(exec.ring_bytes(), 1024u * 1024u);
  EXPECT_TRUE(exec.attached());
  EXPECT_FALSE(exec.has_pty());
}

TEST_F(BuildExecTest, TheNearerWordStands) {
  (*sandbox_.mutable_env())["LANG"] = "sandbox";
  (*sandbox_.mutable_env())["A"] = "sandbox";
  sandbox_.set_workdir("/sandbox");
  sandbox_.set_user("1000");
  sandbox_.mutable_limits()->mutable_exec_timeout()->set_seconds(9);
  spec_.env = {{"A", "exec"}};
  spec_.workdir = "/exec";
  ASSERT_OK_AND_ASSIGN(auto exec, Build());
  EXPECT_EQ(Variable(exec, "LANG"), "sandbox");
  EXPECT_EQ(Variable(exec, "A"), "exec");
  EXPECT_EQ(Variable(exec, "PATH"), "/bin");
  EXPECT_EQ(exec.cwd(), "/exec");
  EXPECT_EQ(exec.user(), "1000");
  EXPECT_EQ(exec.timeout_ms(), 9000u);
  spec_.timeout = absl::ZeroDuration();
  ASSERT_OK_AND_ASSIGN(exec, Build());
  EXPECT_EQ(exec.timeout_ms(), 0u);
  spec_.timeout = absl::Microseconds(1);
  ASSERT_OK_AND_ASSIGN(exec, Build());
  EXPECT_EQ(exec.timeout_ms(), 1u);
}

TEST_F(BuildExecTest, RefusesACommandThatCannotBe) {
  spec_.argv = {};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.argv = {""};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.argv = {"ls", std::string("a\0b", 3)};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.argv = {"ls", std::string(800 * 1024, 'x')};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.argv = {"ls"};
  spec_.env = {{"", "x"}};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.env = {};
  spec_.workdir = "tmp";
  EXPECT_THAT(Build(), HasReason(Reason::kPathInvalid));
}

TEST_F(BuildExecTest, ResourceLimitsGoByTheirNames) {
  spec_.limits = {{"nofile", 10, 20}, {"RLIMIT_CORE", 0, 0}};
  ASSERT_OK_AND_ASSIGN(const auto exec, Build());
  ASSERT_EQ(exec.rlimits_size(), 2);
  EXPECT_EQ(exec.rlimits(0).resource(), RLIMIT_NOFILE);
  EXPECT_EQ(exec.rlimits(0).hard(), 20u);
  EXPECT_EQ(exec.rlimits(1).resource(), RLIMIT_CORE);
  spec_.limits = {{"files", 1, 1}};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.limits = {{"nofile", 2, 1}};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
}

TEST_F(BuildExecTest, ARingStaysWithinTheConfiguredMost) {
  spec_.ring_bytes = 16u << 20;
  EXPECT_OK(Build());
  spec_.ring_bytes = (16u << 20) + 1;
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
  spec_.ring_bytes = 1;
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
}

TEST_F(BuildExecTest, ATerminalHasAPlausibleSize) {
  spec_.pty = TerminalSize{24, 80};
  ASSERT_OK_AND_ASSIGN(const auto exec, Build());
  EXPECT_EQ(exec.pty().columns(), 80u);
  spec_.pty = TerminalSize{24, 100'000};
  EXPECT_THAT(Build(), HasReason(Reason::kInvalidArgument));
}

TEST(ValidateExecIdTest, KeepsNonsenseFromTheGuest) {
  EXPECT_OK(ValidateExecId("0abc"));
  EXPECT_THAT(ValidateExecId(""), HasReason(Reason::kExecNotFound));
  EXPECT_THAT(ValidateExecId("../x"), HasReason(Reason::kExecNotFound));
}

}  // namespace
}  // namespace msb
