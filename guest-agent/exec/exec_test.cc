// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Commands, through the whole agent: what a client of the protocol sees.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/error.h"
#include "base/frames.h"
#include "tests/support/agent/test_agent.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::Exec;
using testing::HasSubstr;

Reason ReasonOf(const ExecResult& result) { return ReasonFromNumber(result.error.reason()); }

void SetEnv(Exec& exec, const std::string& name, const std::string& value) {
  auto* variable = exec.add_env();
  variable->set_name(name);
  variable->set_value(value);
}

std::string AllBytes(size_t size) {
  std::string bytes(size, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

TEST(ExecTest, ReportsBothOutputsAndTheExitCode) {
  TestAgent agent;
  const ExecResult result =
      agent.Run(MakeExec("a", {"sh", "-c", "echo out; echo err >&2; exit 7"}));
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.exited.exit_code(), 7);
  EXPECT_EQ(result.exited.signal(), 0);
  EXPECT_EQ(result.exited.stdout_bytes(), 4u);
  EXPECT_EQ(result.exited.stderr_bytes(), 4u);
  EXPECT_GT(result.exited.duration_ns(), 0u);
  EXPECT_GT(result.exited.max_rss_bytes(), 0u);
}

TEST(ExecTest, SaysOpenedWithThePidFirst) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeExec("a", {"sh", "-c", "echo $$"}));
  const AgentFrame opened = client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(opened.opened().protocol_version(), 1u);
  EXPECT_FALSE(opened.opened().agent_version().empty());
  EXPECT_EQ(ReadToEnd(client).out, absl::StrCat(opened.opened().pid(), "\n"));
}

TEST(ExecTest, CarriesEveryByteOfStdinThroughACommand) {
  TestAgent agent;
  const std::string bytes = AllBytes(300'000);
  AgentClient client = agent.Start(MakeExec("a", {"cat"}));
  client.SendStdin(bytes);
  client.SendStdin("");
  client.CloseStdin();
  const ExecResult result = ReadToEnd(client);
  EXPECT_TRUE(result.out == bytes);
  EXPECT_EQ(result.exited.exit_code(), 0);
}

TEST(ExecTest, CarriesMuchMoreThanItHolds) {
  TestAgent agent;
  constexpr size_t kTotal = 64u << 20;
  AgentClient client = agent.Start(MakeExec("a", {"cat"}));
  std::thread writer([&] {
    const std::string chunk = AllBytes(1u << 20);
    for (size_t sent = 0; sent < kTotal; sent += chunk.size()) client.SendStdin(chunk);
    client.CloseStdin();
  });
  size_t received = 0;
  bool intact = true;
  while (const auto frame = client.Receive()) {
    if (frame->has_exited()) break;
    for (const char byte : frame->stdout().data()) {
      intact = intact && byte == static_cast<char>(received++);
    }
  }
  writer.join();
  EXPECT_EQ(received, kTotal);
  EXPECT_TRUE(intact);
}

TEST(ExecTest, GivesTheCommandExactlyTheEnvironmentAndWhatIsMissing) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"env"});
  SetEnv(exec, "HOME", "/somewhere");
  SetEnv(exec, "A", "b=c");
  const ExecResult result = agent.Run(exec);
  EXPECT_EQ(result.out,
            "HOME=/somewhere\nA=b=c\n"
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nUSER=root\n");
}

TEST(ExecTest, LooksCommandsUpInThePathOfTheEnvironment) {
  TestAgent agent;
  TempDir directory;
  directory.Write("tool", "#!/bin/sh\necho mine\n");
  ASSERT_EQ(::chmod((directory.path() + "/tool").c_str(), 0755), 0);
  Exec exec = MakeExec("a", {"tool"});
  EXPECT_EQ(ReasonOf(agent.Run(exec)), Reason::kCommandNotFound);
  SetEnv(exec, "PATH", absl::StrCat("/nowhere:", directory.path()));
  exec.set_exec_id("b");
  EXPECT_EQ(agent.Run(exec).out, "mine\n");
}

TEST(ExecTest, TellsWhyACommandCannotStart) {
  TestAgent agent;
  TempDir directory;
  directory.Write("plain", "text");
  directory.Write("orphan", "#!/no/such/interpreter\n");
  ASSERT_EQ(::chmod((directory.path() + "/orphan").c_str(), 0755), 0);
  const auto reason = [&](const Exec& exec) { return ReasonOf(agent.Run(exec)); };

  EXPECT_EQ(reason(MakeExec("a", {"no-such-command"})), Reason::kCommandNotFound);
  EXPECT_EQ(reason(MakeExec("a", {"/no/such/command"})), Reason::kCommandNotFound);
  EXPECT_EQ(reason(MakeExec("a", {directory.path() + "/plain"})), Reason::kCommandNotExecutable);
  EXPECT_EQ(reason(MakeExec("a", {directory.path()})), Reason::kCommandNotExecutable);
  EXPECT_EQ(reason(MakeExec("a", {directory.path() + "/orphan"})), Reason::kCommandNotExecutable);
  EXPECT_EQ(reason(MakeExec("a", {})), Reason::kInvalidArgument);
  EXPECT_EQ(reason(MakeExec("", {"true"})), Reason::kInvalidArgument);
  Exec exec = MakeExec("a", {"true"});
  exec.set_cwd("/no/such/directory");
  EXPECT_EQ(reason(exec), Reason::kWorkingDirectoryInvalid);
  exec = MakeExec("a", {"true"});
  exec.set_user("no-such-user");
  EXPECT_EQ(reason(exec), Reason::kUserNotFound);
  exec = MakeExec("a", {"true"});
  SetEnv(exec, "A=B", "");
  EXPECT_EQ(reason(exec), Reason::kInvalidArgument);
  exec = MakeExec("a", {"true"});
  exec.add_rlimits()->set_resource(99);
  EXPECT_EQ(reason(exec), Reason::kInvalidArgument);
  exec = MakeExec("a", {"true"});
  exec.set_ring_bytes(1);
  EXPECT_EQ(reason(exec), Reason::kInvalidArgument);
}

TEST(ExecTest, AnErrorCarriesTheErrnoBehindIt) {
  TestAgent agent;
  const ExecResult result = agent.Run(MakeExec("a", {"/no/such"}));
  EXPECT_EQ(result.error.errno_value(), ENOENT);
  EXPECT_EQ(result.error.message(), "/no/such: No such file or directory");
}

TEST(ExecTest, RunsAsTheUserThatIsAskedFor) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestAgent agent;
  const auto id_of = [&](const std::string& user) {
    static int next = 0;
    Exec exec =
        MakeExec(absl::StrCat("id", next++), {"sh", "-c", "echo $(id -u):$(id -g):$(id -G)"});
    exec.set_user(user);
    return agent.Run(exec).out;
  };
  EXPECT_EQ(id_of(""), "0:0:0\n");
  EXPECT_EQ(id_of("daemon"), "1:1:1\n");
  EXPECT_EQ(id_of("4321"), "4321:0:0\n");
  EXPECT_EQ(id_of("4321:1234"), "4321:1234:1234\n");
  EXPECT_EQ(id_of("daemon:adm"), "1:4:4\n");
}

TEST(ExecTest, AppliesResourceLimitsAndSupplementaryGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestAgent agent;
  Exec exec = MakeExec("a", {"sh", "-c", "ulimit -n; id -G"});
  auto* limit = exec.add_rlimits();
  limit->set_resource(RLIMIT_NOFILE);
  limit->set_soft(77);
  limit->set_hard(88);
  exec.add_supplementary_groups(4242);
  EXPECT_EQ(agent.Run(exec).out, "77\n0 4242\n");
}

TEST(ExecTest, LeadsASessionOfItsOwnWithAllSignalsAtTheirDefaults) {
  TestAgent agent;
  const ExecResult result = agent.Run(MakeExec(
      "a", {"sh", "-c",
            "cut -d' ' -f1,5,6 /proc/self/stat >&2; grep -E 'Sig(Blk|Ign)' /proc/self/status;"
            "read pid rest < /proc/self/stat; ps -o sid= -p $$ | tr -d ' '; echo $$"}));
  EXPECT_THAT(result.out, HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(result.out, HasSubstr("SigIgn:\t0000000000000000\n"));
  const std::vector<std::string> lines = absl::StrSplit(result.out, '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[2], lines[3]);
}

TEST(ExecTest, LeavesNoDescriptorOfTheAgentInTheCommand) {
  // What the test itself was started with is not the agent's.
  ASSERT_EQ(::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), 0);
  TestAgent agent;
  EXPECT_EQ(agent.Run(MakeExec("a", {"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"})).out,
            "0 1 2 3 ");  // 3 is ls reading the directory
}

TEST(ExecTest, ReportsADeathBySignal) {
  TestAgent agent;
  const ExecResult result = agent.Run(MakeExec("a", {"sh", "-c", "kill -USR1 $$"}));
  EXPECT_EQ(result.exited.signal(), SIGUSR1);
  EXPECT_EQ(result.exited.exit_code(), 128 + SIGUSR1);
  EXPECT_FALSE(result.exited.timed_out());
}

TEST(ExecTest, SendsSignalsToTheWholeProcessGroup) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeExec(
      "a",
      {"sh", "-c",
       "trap 'wait; echo outer; exit 3' TERM;"
       "sh -c 'trap \"echo inner; exit\" TERM; echo up; while :; do sleep 0.01; done' & wait"}));
  client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(client.Expect(AgentFrame::kStdout).stdout().data(), "up\n");
  agent::v1::HostFrame frame;
  frame.set_signal(SIGTERM);
  client.Send(frame);
  const ExecResult result = ReadToEnd(client, 3);
  EXPECT_EQ(result.out, "inner\nouter\n");
  EXPECT_EQ(result.exited.exit_code(), 3);
}

TEST(ExecTest, KillsTheGroupWhenItsTimeHasPassed) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"sh", "-c", "sleep 1000 & echo started; wait"});
  exec.set_timeout_ms(200);
  const ExecResult result = agent.Run(exec);
  EXPECT_EQ(result.out, "started\n");
  EXPECT_TRUE(result.exited.timed_out());
  EXPECT_EQ(result.exited.signal(), SIGKILL);
  EXPECT_EQ(result.exited.exit_code(), 137);
}

TEST(ExecTest, ACommandThatDoesNotReadItsInputDoesNotHoldTheHostBack) {
  TestAgent agent;
  AgentClient client =
      agent.Start(MakeExec("a", {"sh", "-c", "exec <&-; echo closed; read x < /dev/tty; exit 0"}));
  client.Expect(AgentFrame::kOpened);
  for (int i = 0; i < 64; ++i) client.SendStdin(std::string(64 * 1024, 'x'));
  client.CloseStdin();
  EXPECT_EQ(ReadToEnd(client).out, "closed\n");
}

TEST(ExecTest, HoldsACommandBackWhileItsClientDoesNotRead) {
  TestAgent agent;
  TempDir directory;
  Exec exec = MakeExec(
      "a",
      {"sh", "-c", absl::StrCat("head -c 16777216 /dev/zero; touch ", directory.path(), "/done")});
  exec.set_ring_bytes(64 * 1024);
  AgentClient client = agent.Start(exec);
  client.Expect(AgentFrame::kOpened);
  size_t received = 0;
  while (received < (1u << 20))
    received += client.Expect(AgentFrame::kStdout).stdout().data().size();
  // Ring, pipe and socket hold far less than the 15 MiB that are still to come.
  EXPECT_NE(::access((directory.path() + "/done").c_str(), F_OK), 0);
  EXPECT_EQ(received + ReadToEnd(client, received).out.size(), 16777216u);
  EXPECT_EQ(::access((directory.path() + "/done").c_str(), F_OK), 0);
}

TEST(ExecTest, EndsWithItsLeaderThoughADaemonHoldsItsOutput) {
  TestAgent agent;
  TempDir directory;
  // The daemon says nothing until the command has long ended, then must not die of SIGPIPE.
  const std::string flag = directory.path() + "/go";
  const ExecResult result = agent.Run(MakeExec(
      "a", {"sh", "-c",
            absl::StrCat("(until test -e ", flag, "; do sleep 0.01; done; echo late; echo alive > ",
                         flag, ".done) & echo early")}));
  EXPECT_EQ(result.out, "early\n");
  EXPECT_EQ(result.exited.exit_code(), 0);
  directory.Write("go", "");
  const ExecResult waited = agent.Run(MakeExec(
      "b", {"sh", "-c", absl::StrCat("until test -s ", flag, ".done; do sleep 0.01; done")}));
  EXPECT_EQ(waited.exited.exit_code(), 0);
}

TEST(ExecTest, HearsWhatFollowsTheLeaderClosely) {
  TestAgent agent;
  const ExecResult result =
      agent.Run(MakeExec("a", {"bash", "-c", "echo first; (sleep 0.01; echo second) &"}));
  EXPECT_EQ(result.out, "first\nsecond\n");
}

// Fills a pipe again whenever somebody has read from it, before that read returns: the quickest of
// all writers.
class Flood {
 public:
  // On the thread that will read.
  explicit Flood(const std::string& pipe) : pipe_(::open(pipe.c_str(), O_WRONLY | O_NONBLOCK)) {
    MSB_CHECK(pipe_.valid());
    target_ = pipe_.get();
    struct sigaction action {};
    action.sa_handler = [](int) { Fill(); };
    MSB_CHECK(::sigaction(SIGIO, &action, &old_action_) == 0);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGIO);
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    const f_owner_ex reader{.type = F_OWNER_TID, .pid = ::gettid()};
    MSB_CHECK(::fcntl(pipe_.get(), F_SETOWN_EX, &reader) == 0);
    MSB_CHECK(::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK | O_ASYNC) == 0);
    Fill();
  }
  ~Flood() {
    pipe_.Reset();
    ::sigaction(SIGIO, &old_action_, nullptr);
  }

 private:
  static void Fill() {
    static const char chunk[4096] = {};
    while (::write(target_, chunk, sizeof(chunk)) > 0) {
    }
  }

  UniqueFd pipe_;
  struct sigaction old_action_ {};
  inline static int target_ = -1;
};

TEST(ExecTest, IsNotHeldUpByOthersWhoWriteWithoutEndWhenACommandEnds) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"sh", "-c", "kill -STOP $$"});
  exec.set_attached(false);
  AgentClient client = agent.Start(exec);
  const int pid = client.Expect(AgentFrame::kOpened).opened().pid();
  siginfo_t stopped{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &stopped, WSTOPPED | WNOWAIT), 0);
  std::optional<Flood> flood;
  agent.OnLoop([&](Agent&) { flood.emplace(absl::StrCat("/proc/", pid, "/fd/1")); });

  ASSERT_EQ(::kill(pid, SIGCONT), 0);

  bool ended = false;
  while (!ended) {
    agent::v1::ControlRequest request;
    request.mutable_list_execs();
    ended = !agent.Control(request).execs().execs(0).running();
  }
  agent.OnLoop([&](Agent&) { flood.reset(); });
  EXPECT_TRUE(ended);
}

TEST(ExecTest, RunsAHundredCommandsAtOnce) {
  TestAgent agent;
  std::vector<AgentClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(agent.Start(MakeExec(absl::StrCat("e", i), {"sh", "-c", "read x; echo $x"})));
  }
  for (int i = 0; i < 100; ++i) clients[i].SendStdin(absl::StrCat(i, "\n"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ReadToEnd(clients[i]).out, absl::StrCat(i, "\n"));
}

TEST(ExecTest, RefusesMoreThanItsLimitAtOnce) {
  TestAgent agent({.execs = {.running = 1}});
  AgentClient first = agent.Start(MakeExec("a", {"cat"}));
  first.Expect(AgentFrame::kOpened);
  EXPECT_EQ(ReasonOf(agent.Run(MakeExec("b", {"true"}))), Reason::kTooManyExecs);
  first.CloseStdin();
  ReadToEnd(first);
  EXPECT_EQ(agent.Run(MakeExec("c", {"true"})).exited.exit_code(), 0);
}

TEST(ExecTest, ListsCommandsThatAreLongProgramsInOneFrame) {
  TestAgent agent;
  const std::string program(60'000, 'x');
  for (int i = 0; i < 30; ++i) {
    agent.Run(MakeExec(absl::StrCat("long", i), {"true", program}));
  }
  agent::v1::ControlRequest request;
  request.mutable_list_execs();
  const auto list = agent.Control(request).execs();
  ASSERT_EQ(list.execs_size(), 30);
  EXPECT_LE(list.ByteSizeLong(), kMaxFrameBytes);
  EXPECT_EQ(list.execs(0).argv(0), "true");
  EXPECT_TRUE(absl::EndsWith(list.execs(0).argv(1), "xxx...")) << list.execs(0).argv(1).size();
}

TEST(ExecTest, RefusesAnIdThatIsTaken) {
  TestAgent agent;
  agent.Run(MakeExec("a", {"true"}));
  EXPECT_EQ(ReasonOf(agent.Run(MakeExec("a", {"true"}))), Reason::kInvalidArgument);
}

TEST(ExecTest, AHostThatOnlyListensStillGetsEverything) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeExec("a", {"sh", "-c", "sleep 0.05; echo heard"}));
  client.HalfClose();
  EXPECT_EQ(ReadToEnd(client).out, "heard\n");
}

}  // namespace
}  // namespace msb
