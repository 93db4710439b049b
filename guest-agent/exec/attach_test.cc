// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Commands that outlive a client, and terminals, through the whole agent.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "tests/support/agent/test_agent.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::Attach;
using agent::v1::Exec;
using agent::v1::HostFrame;
using testing::HasSubstr;

Attach MakeAttach(const std::string& id, uint64_t stdout_offset = 0) {
  Attach attach;
  attach.set_exec_id(id);
  attach.set_stdout_offset(stdout_offset);
  return attach;
}

// Waits until the agent itself knows that nobody is attached.
void WaitUntilDetached(TestAgent& agent, const std::string& id) {
  bool attached = true;
  while (attached) {
    agent.OnLoop([&](Agent& inner) { attached = (*inner.execs().Find(id))->client() != nullptr; });
  }
}

void WaitUntilFinished(TestAgent& agent, const std::string& id) {
  bool finished = false;
  while (!finished) {
    agent.OnLoop([&](Agent& inner) { finished = (*inner.execs().Find(id))->finished(); });
  }
}

Reason ReasonOf(const ExecResult& result) { return ReasonFromNumber(result.error.reason()); }

TEST(AttachTest, ACommandGoesOnWithoutItsClientAndIsFoundAgain) {
  TestAgent agent;
  AgentClient first = agent.Start(MakeExec("a", {"sh", "-c", "echo one; read x; echo $x"}));
  first.Expect(AgentFrame::kOpened);
  first.Expect(AgentFrame::kStdout);
  first.Close();
  WaitUntilDetached(agent, "a");

  AgentClient second = agent.Attach(MakeAttach("a"));
  const AgentFrame opened = second.Expect(AgentFrame::kOpened);
  EXPECT_GT(opened.opened().pid(), 0);
  second.SendStdin("two\n");
  EXPECT_EQ(ReadToEnd(second).out, "one\ntwo\n");
}

TEST(AttachTest, GivesTheOutputFromTheOffsetThatIsAskedFor) {
  TestAgent agent;
  agent.Run(MakeExec("a", {"sh", "-c", "printf 0123456789"}));
  AgentClient client = agent.Attach(MakeAttach("a", 7));
  EXPECT_EQ(client.Expect(AgentFrame::kOpened).opened().stdout_offset(), 7u);
  const ExecResult result = ReadToEnd(client, 7);
  EXPECT_EQ(result.out, "789");
  EXPECT_EQ(result.exited.stdout_bytes(), 10u);
}

TEST(AttachTest, RefusesAnOffsetThatLiesAhead) {
  TestAgent agent;
  agent.Run(MakeExec("a", {"sh", "-c", "printf 0123456789"}));
  AgentClient client = agent.Attach(MakeAttach("a", 11));
  EXPECT_EQ(ReasonOf(ReadToEnd(client)), Reason::kInvalidArgument);
}

TEST(AttachTest, ASilentCommandKeepsTheEndOfItsOutput) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"sh", "-c", "seq 100000"});
  exec.set_attached(false);
  exec.set_ring_bytes(4096);
  AgentClient starter = agent.Start(exec);
  starter.Expect(AgentFrame::kOpened);
  EXPECT_FALSE(starter.Receive().has_value());
  WaitUntilFinished(agent, "a");

  AgentClient client = agent.Attach(MakeAttach("a"));
  const uint64_t offset = client.Expect(AgentFrame::kOpened).opened().stdout_offset();
  const ExecResult result = ReadToEnd(client, offset);
  EXPECT_EQ(result.exited.stdout_bytes(), 588895u);
  EXPECT_EQ(offset, 588895u - 4096u);
  EXPECT_EQ(result.out.size(), 4096u);
  EXPECT_TRUE(absl::EndsWith(result.out, "99999\n100000\n"));
}

TEST(AttachTest, ABackgroundCommandReadsNothing) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"cat"});
  exec.set_attached(false);
  agent.Start(exec).Expect(AgentFrame::kOpened);
  WaitUntilFinished(agent, "a");
}

TEST(AttachTest, ABackgroundCommandReadsWhatALaterClientSends) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"cat"});
  exec.set_attached(false);
  exec.set_stdin_open(true);
  agent.Start(exec).Expect(AgentFrame::kOpened);
  AgentClient client = agent.Attach(MakeAttach("a"));
  client.SendStdin("late");
  client.CloseStdin();
  EXPECT_EQ(ReadToEnd(client).out, "late");
}

TEST(AttachTest, AllowsOneClientAtATimeUnlessItTakesOver) {
  TestAgent agent;
  AgentClient first = agent.Start(MakeExec("a", {"cat"}));
  first.Expect(AgentFrame::kOpened);
  AgentClient second = agent.Attach(MakeAttach("a"));
  EXPECT_EQ(ReasonOf(ReadToEnd(second)), Reason::kExecAlreadyAttached);

  Attach attach = MakeAttach("a");
  attach.set_take_over(true);
  AgentClient third = agent.Attach(attach);
  third.Expect(AgentFrame::kOpened);
  EXPECT_EQ(ReasonOf(ReadToEnd(first)), Reason::kExecAlreadyAttached);
  third.SendStdin("mine");
  third.CloseStdin();
  EXPECT_EQ(ReadToEnd(third).out, "mine");
}

TEST(AttachTest, TakesOverFromAClientThatDoesNotRead) {
  TestAgent agent;
  Exec exec = MakeExec("a", {"sh", "-c", "head -c 4194304 /dev/zero"});
  exec.set_ring_bytes(65536);
  AgentClient first = agent.Start(exec);
  first.Expect(AgentFrame::kOpened);
  first.Expect(AgentFrame::kStdout);

  Attach attach = MakeAttach("a");
  attach.set_take_over(true);
  AgentClient second = agent.Attach(attach);
  const uint64_t offset = second.Expect(AgentFrame::kOpened).opened().stdout_offset();
  EXPECT_EQ(ReadToEnd(second, offset).exited.stdout_bytes(), 4194304u);
}

TEST(AttachTest, AClientThatVanishesWhileItIsBehindDoesNotStopTheCommand) {
  TestAgent agent;
  TempDir directory;
  Exec exec = MakeExec(
      "a",
      {"sh", "-c", absl::StrCat("head -c 8388608 /dev/zero; echo > ", directory.path(), "/done")});
  exec.set_ring_bytes(65536);
  AgentClient client = agent.Start(exec);
  client.Expect(AgentFrame::kOpened);
  client.Expect(AgentFrame::kStdout);
  client.Close();
  WaitUntilFinished(agent, "a");
  EXPECT_EQ(directory.Read("done"), "\n");
}

TEST(AttachTest, AClientThatVanishesWithInputUnderwayDoesNotStopTheCommand) {
  TestAgent agent;
  AgentClient client =
      agent.Start(MakeExec("a", {"sh", "-c", "head -c 100000 > /dev/null; echo fed"}));
  client.Expect(AgentFrame::kOpened);
  client.SendStdin(std::string(100'000, 'x'));
  client.SendStdin(std::string(50'000, 'x'));
  EXPECT_EQ(client.Expect(AgentFrame::kStdout).stdout().data(), "fed\n");
  client.Close();
  WaitUntilFinished(agent, "a");
}

TEST(AttachTest, ForgetsTheOldestOfTheFinished) {
  TestAgent agent({.execs = {.finished = 2}});
  for (const char* id : {"a", "b", "c"}) agent.Run(MakeExec(id, {"echo", id}));
  AgentClient gone = agent.Attach(MakeAttach("a"));
  EXPECT_EQ(ReasonOf(ReadToEnd(gone)), Reason::kExecNotFound);
  AgentClient kept = agent.Attach(MakeAttach("b"));
  EXPECT_EQ(ReadToEnd(kept).out, "b\n");
}

TEST(AttachTest, ForgetsTheFinishedWhoseOutputTakesTooMuchMemory) {
  TestAgent agent({.execs = {.finished_bytes = 100 * 1024}});
  agent.Run(MakeExec("a", {"head", "-c", "65536", "/dev/zero"}));
  agent.Run(MakeExec("b", {"head", "-c", "65536", "/dev/zero"}));
  AgentClient gone = agent.Attach(MakeAttach("a"));
  EXPECT_EQ(ReasonOf(ReadToEnd(gone)), Reason::kExecNotFound);
  AgentClient kept = agent.Attach(MakeAttach("b"));
  EXPECT_EQ(ReadToEnd(kept).out.size(), 65536u);
}

Exec MakeTerminalExec(const std::string& id, std::initializer_list<absl::string_view> argv) {
  Exec exec = MakeExec(id, argv);
  exec.mutable_pty()->set_rows(24);
  exec.mutable_pty()->set_columns(80);
  return exec;
}

TEST(TerminalTest, GivesTheCommandAControllingTerminalOfTheSizeAskedFor) {
  TestAgent agent;
  const ExecResult result = agent.Run(MakeTerminalExec(
      "a", {"sh", "-c", "tty > /dev/tty && stty size && echo $TERM && echo err >&2"}));
  EXPECT_THAT(result.out, HasSubstr("/dev/pts/"));
  EXPECT_THAT(result.out, HasSubstr("24 80\r\nxterm-256color\r\nerr\r\n"));
  EXPECT_EQ(result.err, "");
}

TEST(TerminalTest, TellsTheCommandThatItsSizeHasChanged) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeTerminalExec(
      "a", {"bash", "-c", "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.01; done"}));
  client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(client.Expect(AgentFrame::kStdout).stdout().data(), "up\r\n");
  HostFrame frame;
  frame.mutable_resize()->set_rows(50);
  frame.mutable_resize()->set_columns(132);
  client.Send(frame);
  EXPECT_EQ(ReadToEnd(client, 4).out, "50 132\r\n");
}

TEST(TerminalTest, EndsItsInputWithTheEndOfFileCharacter) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeTerminalExec("a", {"sh", "-c", "stty -echo; echo up; cat"}));
  client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(client.Expect(AgentFrame::kStdout).stdout().data(), "up\r\n");
  client.SendStdin("half a line");
  client.CloseStdin();
  EXPECT_EQ(ReadToEnd(client, 4).out, "half a line");
}

TEST(TerminalTest, CarriesMoreInputThanATerminalHolds) {
  TestAgent agent;
  AgentClient client = agent.Start(
      MakeTerminalExec("a", {"sh", "-c", "stty raw -echo; echo up; head -c 200000 | wc -c"}));
  client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(client.Expect(AgentFrame::kStdout).stdout().data(), "up\n");
  client.SendStdin(std::string(200'000, 'x'));
  EXPECT_EQ(ReadToEnd(client, 3).out, "200000\n");
}

TEST(TerminalTest, InterruptsFromTheKeyboardReachTheCommand) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeTerminalExec("a", {"sh", "-c", "echo up; exec sleep 1000"}));
  client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(client.Expect(AgentFrame::kStdout).stdout().data(), "up\r\n");
  client.SendStdin("\x03");
  EXPECT_EQ(ReadToEnd(client, 4).exited.signal(), SIGINT);
}

TEST(TerminalTest, ACommandWithoutOneCannotBeResized) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeExec("a", {"cat"}));
  client.Expect(AgentFrame::kOpened);
  HostFrame frame;
  frame.mutable_resize()->set_rows(50);
  client.Send(frame);
  EXPECT_EQ(ReasonOf(ReadToEnd(client)), Reason::kNotATerminal);
}

}  // namespace
}  // namespace msb
