// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/log.h"

#include <gtest/gtest.h>

namespace msb {
namespace {

TEST(LogTest, EscapesWhatCouldForgeALine) {
  EXPECT_EQ(EscapeForLog("a\nI msbd fine\x1b[2J"), "a\\x0aI msbd fine\\x1b[2J");
}

TEST(LogTest, EscapesOnceAndLeavesQuotesAlone) {
  const std::string once = EscapeForLog("the kernel's \"file\"\xff");
  EXPECT_EQ(once, "the kernel's \"file\"\\xff");
  EXPECT_EQ(EscapeForLog(once), once);
}

TEST(LogTest, CutsLongText) {
  const std::string escaped = EscapeForLog(std::string(10'000, 'x'));

  EXPECT_EQ(escaped.size(), 512u + 3u);
  EXPECT_EQ(escaped.substr(512), "...");
}

TEST(LogTest, ParsesTheFourLevelsOnly) {
  EXPECT_EQ(ParseLogLevel("warning"), LogLevel::kWarning);
  EXPECT_EQ(ParseLogLevel("WARNING"), std::nullopt);
}

}  // namespace
}  // namespace msb
