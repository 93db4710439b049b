// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/stop_signal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// A child of the test that does as a shell script says, from a line that it writes on. One that
// waits reads: to start a command, a shell blocks all signals for a moment.
class Script {
 public:
  explicit Script(const std::string& text) {
    int output[2], input[2];
    MSB_CHECK(::pipe2(output, O_CLOEXEC) == 0 && ::pipe2(input, O_CLOEXEC) == 0);
    input_ = UniqueFd(input[1]);  // nothing comes there
    pid_ = ::fork();
    MSB_CHECK(pid_ >= 0);
    if (pid_ == 0) {
      ::setpgid(0, 0);  // what it starts ends with it
      ::dup2(output[1], STDOUT_FILENO);
      ::dup2(input[0], STDIN_FILENO);
      ::execl("/bin/sh", "sh", "-c", text.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(output[1]);
    ::close(input[0]);
    for (char c; ::read(output[0], &c, 1) == 1 && c != '\n';) line_ += c;
    ::close(output[0]);
  }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;
  ~Script() {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  const std::string& line() const { return line_; }

 private:
  pid_t pid_ = -1;
  UniqueFd input_;
  std::string line_;
};

TEST(StopSignalTest, IsKnownToWhoeverHasAHandler) {
  const Script handler("trap : USR1; echo ready; read word");
  const Script deaf("trap '' USR1; echo ready; read word");
  const Script other("trap : USR2; echo ready; read word");
  const std::vector<pid_t> all = {handler.pid(), deaf.pid(), other.pid()};
  EXPECT_THAT(ProcessesThatKnow(SIGUSR1, all), ElementsAre(handler.pid()));
  EXPECT_THAT(ProcessesThatKnow(SIGUSR2, all), ElementsAre(other.pid()));
  EXPECT_THAT(ProcessesThatKnow(SIGWINCH, all), IsEmpty());
  EXPECT_EQ(ProcessesThatKnow(SIGKILL, all), all);
}

TEST(StopSignalTest, IsKnownToWhoeverBlocksItToWaitForIt) {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGRTMAX);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  const pid_t self = ::getpid();
  EXPECT_THAT(ProcessesThatKnow(SIGRTMAX, {self}), ElementsAre(self));
  ::sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  EXPECT_THAT(ProcessesThatKnow(SIGRTMAX, {self}), IsEmpty());
}

TEST(StopSignalTest, IsKnownToNoneThatHasEnded) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_THAT(ProcessesThatKnow(SIGUSR1, {pid}), IsEmpty());
  ::waitpid(pid, nullptr, 0);
  EXPECT_THAT(ProcessesThatKnow(SIGUSR1, {pid}), IsEmpty());
}

TEST(StopSignalTest, SparesWhatACommandHasStarted) {
  const Script command("sh -c 'echo $$; exec sleep 1000' & wait");
  const Script neighbour("echo ready; exec sleep 1000");
  const pid_t child = std::stoi(command.line());
  EXPECT_THAT(ProcessesOutside({command.pid()}),
              AllOf(Contains(neighbour.pid()), Contains(::getpid()), Not(Contains(command.pid())),
                    Not(Contains(child)), Not(Contains(1))));
  EXPECT_THAT(ProcessesOutside({neighbour.pid()}), AllOf(Contains(command.pid()), Contains(child)));
}

TEST(StopSignalTest, ParentsComeBeforeWhatTheyHaveStarted) {
  // Each shell starts the next and waits for it; the innermost tells the numbers of all.
  const Script family(R"(
    export all= generations=10 text='
      all="$all $$"
      generations=$((generations - 1))
      if [ $generations -gt 0 ]; then sh -c "$text"; else echo $all; read word; fi
      :'
    sh -c "$text"
    :)");
  std::vector<pid_t> oldest_first;
  for (const absl::string_view pid : absl::StrSplit(family.line(), ' ')) {
    oldest_first.push_back(std::stoi(std::string(pid)));
  }
  ASSERT_THAT(oldest_first, SizeIs(10));
  std::vector<pid_t> outside = ProcessesOutside({});
  const absl::flat_hash_set<pid_t> members(oldest_first.begin(), oldest_first.end());
  outside.erase(std::remove_if(outside.begin(), outside.end(),
                               [&](pid_t pid) { return !members.contains(pid); }),
                outside.end());
  EXPECT_EQ(outside, oldest_first);
}

}  // namespace
}  // namespace msb
