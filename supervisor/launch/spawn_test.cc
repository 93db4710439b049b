// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/time/clock.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/read_to_end.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class SpawnTest : public testing::Test {
 protected:
  SpawnTest() {
    // What whoever started this test left open.
    EXPECT_EQ(::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), 0);
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end_ = UniqueFd(ends[0]);
    write_end_ = UniqueFd(ends[1]);
  }
  // The output of a shell script that has `fds` and its stdout in the pipe.
  std::string Output(const std::string& script, std::map<int, int> fds = {}) {
    fds[STDOUT_FILENO] = write_end_.get();
    const auto process =
        Spawn({.path = "/bin/sh", .argv = {"sh", "-c", script}, .fds = std::move(fds)});
    EXPECT_OK(process);
    write_end_.Reset();
    const auto text = ReadToEnd(read_end_, {.max_bytes = 4096, .deadline = absl::InfiniteFuture()});
    EXPECT_OK(WaitForEnd(process->pidfd, absl::InfiniteFuture()));
    EXPECT_EQ(Reap(process->pidfd), 0);
    EXPECT_OK(text);
    return text.ok() ? *text : "";
  }
  UniqueFd read_end_;
  UniqueFd write_end_;
};

TEST_F(SpawnTest, GivesDescriptorsTheirNumbersEvenWhenTheyOverlap) {
  // Two pipes whose ends are 3 and 4, to be exchanged.
  UniqueFd three(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  UniqueFd four(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::map<int, int> fds{{three.get(), four.get()}, {four.get(), three.get()}};

  const std::string output = Output("readlink /proc/self/fd/" + std::to_string(three.get()) +
                                        " /proc/self/fd/" + std::to_string(four.get()),
                                    fds);

  EXPECT_EQ(output, "/dev/null\n/dev/zero\n");
}

TEST_F(SpawnTest, GivesNothingElse) {
  const UniqueFd kept(::open("/dev/zero", O_RDONLY | O_CLOEXEC));

  // ls has the directory itself open as 3.
  EXPECT_EQ(Output("exec ls /proc/self/fd", {{9, kept.get()}}), "0\n1\n2\n3\n9\n");
}

TEST_F(SpawnTest, GivesAnEmptyEnvironment) {
  ::setenv("MSB_SPAWN_TEST", "secret", /*overwrite=*/1);

  const std::string output = Output("exec env");

  // The shell sets some of its own.
  EXPECT_THAT(output, HasSubstr("PWD="));
  EXPECT_THAT(output, Not(HasSubstr("MSB_SPAWN_TEST")));
}

TEST_F(SpawnTest, ClearsTheSignalsOfThisProcess) {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto old = ::signal(SIGPIPE, SIG_IGN);

  const std::string output = Output("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");

  ::signal(SIGPIPE, old);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  // Signals 32 and 33 are glibc's own, and stay as whoever started this test had them.
  EXPECT_THAT(output, MatchesRegex("SigBlk:\t0{16}\nSigIgn:\t0{7}[0-9][08]0{7}\n"));
}

TEST_F(SpawnTest, NamesTheProgramThatCannotBeStarted) {
  const auto process = Spawn({.path = "/nonexistent/program", .argv = {"program"}});

  EXPECT_TRUE(absl::IsNotFound(process.status())) << process.status();
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("/nonexistent/program"));
}

}  // namespace
}  // namespace msb
