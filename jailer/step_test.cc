// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace msb {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(StepTest, ExitCodesFollowTheNumbers) {
  EXPECT_EQ(ExitCodeOf(Step::kPlan), 64);
  EXPECT_EQ(ExitCodeOf(Step::kExec), 77);
}

TEST(StepTest, AFailureIsOneLineWithStepCauseAndRemedy) {
  const std::string line = FailureLine(Step::kMounts, absl::NotFoundError("no\nsuch file"));

  EXPECT_THAT(line, StartsWith("msb-jailer: step 7 (mounts): no such file; "));
  EXPECT_THAT(line, HasSubstr("check that"));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace msb
