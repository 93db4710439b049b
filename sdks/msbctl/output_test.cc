// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/output.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "msb/v1/exec.pb.h"
#include "sdks/msbctl/exit_code.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(OutputTest, TableColumnsAreAsWideAsTheirWidestCell) {
  Table table({"NAME", "STATE"});
  table.Add({"a-long-name", "up"});

  EXPECT_EQ(table.ToString(), "NAME          STATE\na-long-name   up\n");
}

TEST(OutputTest, ATableIsCutAtItsLastColumnToFitATerminal) {
  Table table({"EXEC", "COMMAND"});
  table.Add({"abc", "python3 -c 'print(6*7)'"});

  EXPECT_EQ(table.ToString(22), "EXEC   COMMAND\nabc    python3 -c '...\n");
  EXPECT_EQ(table.ToString(5), "EXEC   COMMAND\nabc    python3 -...\n");
}

TEST(OutputTest, ColumnsLineUpBehindCharactersOfSeveralBytes) {
  Table table({"NAME", "STATE"});
  table.Add({"\u017elu\u0165", "up"});

  EXPECT_EQ(table.ToString(), "NAME   STATE\n\u017elu\u0165   up\n");
}

TEST(OutputTest, ACutFallsBetweenCharacters) {
  EXPECT_EQ(Cut("\u65e5\u672c\u8a9e\u65e5\u672c", 4), "\u65e5...");
  EXPECT_EQ(Cut("short", 5), "short");
  EXPECT_EQ(Cut("anything", 0), "anything");
}

TEST(OutputTest, DurationsHaveUnits) {
  ASSERT_OK_AND_ASSIGN(const auto plain, ParseDuration("90"));
  EXPECT_EQ(plain.seconds(), 90);
  ASSERT_OK_AND_ASSIGN(const auto fraction, ParseDuration("1.5s"));
  EXPECT_EQ(fraction.nanos(), 500'000'000);
  ASSERT_OK_AND_ASSIGN(const auto hours, ParseDuration("2h"));
  EXPECT_EQ(hours.seconds(), 7200);
  for (const char* bad : {"", "-1", "10 years", "1e400", "nan", "h"}) {
    EXPECT_THAT(ParseDuration(bad), HasReason(Reason::kInvalidArgument)) << bad;
  }
}

TEST(OutputTest, SizesAreInMebibytes) {
  ASSERT_OK_AND_ASSIGN(const uint32_t plain, ParseMebibytes("512"));
  EXPECT_EQ(plain, 512u);
  ASSERT_OK_AND_ASSIGN(const uint32_t gib, ParseMebibytes("1.5GiB"));
  EXPECT_EQ(gib, 1536u);
  EXPECT_THAT(ParseMebibytes("much"), HasReason(Reason::kInvalidArgument));
}

TEST(OutputTest, WhatAGuestNamedCannotDriveTheTerminal) {
  EXPECT_EQ(Printable("\x1b[2Jbox\n"), "\\x1b[2Jbox\\n");
  EXPECT_EQ(Printable("\u009b2J"), "\\u009b2J");      // CSI as one character
  EXPECT_EQ(Printable("\u202eevil"), "\\u202eevil");  // turns the line round
  EXPECT_EQ(Printable("\xff\u017elu\u0165"), "\\xff\u017elu\u0165");
}

TEST(OutputTest, CommandLinesAreQuotedAsAShellWouldTakeThem) {
  msb::v1::ExecStart start;
  for (const char* word : {"python3", "-c", "print('hi')"}) start.add_argv(word);

  EXPECT_EQ(CommandLine(start.argv()), "python3 -c 'print('\\''hi'\\'')'");
}

TEST(ExitCodeTest, SaysWhyACommandDidNotRun) {
  EXPECT_EQ(ExitCodeOfExecError(MakeError(Reason::kCommandNotFound, "x")), 127);
  EXPECT_EQ(ExitCodeOfExecError(MakeError(Reason::kCommandNotExecutable, "x")), 126);
  EXPECT_EQ(ExitCodeOfExecError(MakeError(Reason::kSandboxNotFound, "x")), 125);
}

}  // namespace
}  // namespace msb
