// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/suggestion.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace msb {
namespace {

TEST(SuggestionTest, ASlipFindsItsWord) {
  const std::vector<std::string> known = {"create", "start", "stop", "restart", "ls", "completion"};
  EXPECT_EQ(Nearest("crate", known), "create");
  EXPECT_EQ(Nearest("craete", known), "create");
  EXPECT_EQ(Nearest("stpo", known), "stop");
  EXPECT_EQ(Nearest("sl", known), "ls");
  EXPECT_EQ(Nearest("comp", known), "completion");
}

TEST(SuggestionTest, WhatIsFarFromEverythingFindsNothing) {
  EXPECT_EQ(Nearest("frobnicate", {"create", "start", "ls"}), "");
  EXPECT_EQ(Nearest("x", {"ls", "rm"}), "");
  EXPECT_EQ(Nearest("", {"ls"}), "");
}

TEST(SuggestionTest, WordsOfOtherToolsFindOurs) {
  EXPECT_EQ(OursFor("list"), "ls");
  EXPECT_EQ(OursFor("unpause"), "resume");
  EXPECT_EQ(OursFor("create"), "");
}

TEST(SuggestionTest, ErrorsThatDoNotSayWhatToDoAreGivenAStep) {
  EXPECT_NE(NextStep(MakeError(Reason::kSandboxNotRunning, "x")).find("msbctl start"),
            std::string::npos);
  EXPECT_EQ(NextStep(absl::InternalError("x")), "");
}

TEST(SuggestionTest, AnImageThatIsBrokenIsNoMatterOfThisHost) {
  EXPECT_EQ(NextStep(MakeError(Reason::kImageInvalid, "x")), "");
}

}  // namespace
}  // namespace msb
