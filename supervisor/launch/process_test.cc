// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

constexpr char kFieldsTo21[] = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 ";

TEST(ProcessTest, FindsTheStartTimeBehindAnyName) {
  for (const char* name : {"vmm", "a b", ") S 1 2 (", "x) R (y", ""}) {
    const std::string stat = "42 (" + std::string(name) + ")" + kFieldsTo21 + "987654321 20 21\n";
    ASSERT_OK_AND_ASSIGN(const uint64_t ticks, ParseStartTime(stat));
    EXPECT_EQ(ticks, 987654321u) << name;
  }
}

TEST(ProcessTest, RefusesAStatThatIsCutShort) {
  EXPECT_FALSE(ParseStartTime("").ok());
  EXPECT_FALSE(ParseStartTime("42 (vmm) S 1 2 3").ok());
  EXPECT_FALSE(ParseStartTime("42 (vmm" + std::string(kFieldsTo21) + "5 6").ok());
}

TEST(ProcessTest, ReadsTheSameStartTimeTwice) {
  ASSERT_OK_AND_ASSIGN(const uint64_t first, ReadStartTime(::getpid()));
  ASSERT_OK_AND_ASSIGN(const uint64_t second, ReadStartTime(::getpid()));
  EXPECT_GT(first, 0u);
  EXPECT_EQ(first, second);
}

TEST(ProcessTest, KillsWaitsForAndReapsAChild) {
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) ::pause();
  }
  ASSERT_OK_AND_ASSIGN(const UniqueFd pidfd, OpenPidfd(child));
  EXPECT_FALSE(HasEnded(pidfd));
  EXPECT_FALSE(Reap(pidfd).has_value());

  EXPECT_OK(Kill(pidfd));
  EXPECT_OK(WaitForEnd(pidfd, absl::InfiniteFuture()));

  EXPECT_TRUE(HasEnded(pidfd));
  const std::optional<int> status = Reap(pidfd);
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(WIFSIGNALED(*status));
  EXPECT_EQ(WTERMSIG(*status), SIGKILL);
  EXPECT_FALSE(Reap(pidfd).has_value()) << "reaped twice";
  EXPECT_OK(Kill(pidfd)) << "of an ended process";
}

TEST(ProcessTest, ReapsAnExitCode) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(7);
  ASSERT_OK_AND_ASSIGN(const UniqueFd pidfd, OpenPidfd(child));
  EXPECT_OK(WaitForEnd(pidfd, absl::InfiniteFuture()));

  const std::optional<int> status = Reap(pidfd);

  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), 7);
}

TEST(ProcessTest, StopsWaitingAtTheDeadline) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd self, OpenPidfd(::getpid()));

  EXPECT_TRUE(absl::IsDeadlineExceeded(WaitForEnd(self, absl::Now())));
}

TEST(ProcessTest, KnowsNoProcessOfAFreePid) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);

  EXPECT_TRUE(absl::IsNotFound(OpenPidfd(child).status()));
  EXPECT_FALSE(ReadStartTime(child).ok());
  EXPECT_FALSE(OpenPidfd(0).ok());
}

}  // namespace
}  // namespace msb
