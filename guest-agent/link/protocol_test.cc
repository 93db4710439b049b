// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a host may do wrong, and the control connection, through the whole agent.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
// vm_sockets.h needs sockaddr from before it.
#include <linux/vm_sockets.h>

#include <cstring>
#include <string>

#include "base/error.h"
#include "base/frames.h"
#include "guest-agent/link/vsock.h"
#include "tests/support/agent/test_agent.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::ControlRequest;
using agent::v1::ControlResponse;
using agent::v1::HostFrame;

// The reason of the error that the agent answers with; kUnspecified when it just closes.
Reason ReasonOfAnswer(AgentClient& client) {
  while (const auto frame = client.Receive()) {
    if (frame->has_error()) return ReasonFromNumber(frame->error().reason());
  }
  return Reason::kUnspecified;
}

Reason ReasonOfAnswerTo(TestAgent& agent, const std::string& bytes) {
  AgentClient client = agent.Connect();
  client.SendBytes(bytes);
  client.HalfClose();
  return ReasonOfAnswer(client);
}

std::string Framed(const std::string& payload) {
  std::string frame;
  AppendFrame(payload, frame);
  return frame;
}

TEST(ProtocolTest, ClosesWithoutAWordWhenTheHostDoes) {
  TestAgent agent;
  EXPECT_EQ(ReasonOfAnswerTo(agent, ""), Reason::kUnspecified);
  EXPECT_EQ(ReasonOfAnswerTo(agent, std::string("\x09", 1)), Reason::kUnspecified);
  EXPECT_EQ(ReasonOfAnswerTo(agent, Framed("0123456789").substr(0, 9)), Reason::kUnspecified);
}

TEST(ProtocolTest, RefusesAFirstFrameThatOpensNothing) {
  TestAgent agent;
  EXPECT_EQ(ReasonOfAnswerTo(agent, Framed("\xff\xff\xff\xff")), Reason::kFrameMalformed);
  EXPECT_EQ(ReasonOfAnswerTo(agent, Framed("")), Reason::kAgentProtocol);
  EXPECT_EQ(ReasonOfAnswerTo(agent, std::string("\xff\xff\xff\x7f", 4)), Reason::kFrameTooLarge);
  HostFrame frame;
  frame.set_stdin("x");
  EXPECT_EQ(ReasonOfAnswerTo(agent, Framed(frame.SerializeAsString())), Reason::kFrameMalformed);
  frame.mutable_open()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  EXPECT_EQ(ReasonOfAnswerTo(agent, Framed(frame.SerializeAsString())), Reason::kAgentProtocol);
  frame.mutable_open()->set_protocol_version(99);
  EXPECT_EQ(ReasonOfAnswerTo(agent, Framed(frame.SerializeAsString())), Reason::kAgentVersion);
}

TEST(ProtocolTest, RefusesFramesThatDoNotBelongToTheOperation) {
  TestAgent agent;
  AgentClient data = agent.Start(MakeExec("a", {"cat"}));
  data.SendData("x");
  EXPECT_EQ(ReasonOfAnswer(data), Reason::kAgentProtocol);

  AgentClient second_open = agent.Start(MakeExec("b", {"cat"}));
  second_open.Open({});
  EXPECT_EQ(ReasonOfAnswer(second_open), Reason::kAgentProtocol);

  AgentClient garbage = agent.Start(MakeExec("c", {"cat"}));
  garbage.SendBytes(Framed("\xff\xff\xff\xff\xff\xff\xff"));
  EXPECT_EQ(ReasonOfAnswer(garbage), Reason::kFrameMalformed);
}

TEST(ProtocolTest, TakesAFirstFrameByteByByte) {
  TestAgent agent;
  HostFrame frame;
  frame.mutable_open()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  *frame.mutable_open()->mutable_exec() = MakeExec("a", {"echo", "hello"});
  AgentClient client = agent.Connect();
  for (const char byte : Framed(frame.SerializeAsString())) client.SendBytes({&byte, 1});
  EXPECT_EQ(ReadToEnd(client).out, "hello\n");
}

TEST(ProtocolTest, TakesManyFramesInOnePiece) {
  TestAgent agent;
  HostFrame frame;
  frame.mutable_open()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  *frame.mutable_open()->mutable_exec() = MakeExec("a", {"cat"});
  std::string bytes = Framed(frame.SerializeAsString());
  for (int i = 0; i < 1000; ++i) {
    frame.set_stdin("x");
    bytes += Framed(frame.SerializeAsString());
  }
  frame.mutable_close_stdin();
  bytes += Framed(frame.SerializeAsString());
  AgentClient client = agent.Connect();
  client.SendBytes(bytes);
  EXPECT_EQ(ReadToEnd(client).out, std::string(1000, 'x'));
}

TEST(ProtocolTest, IdleConnectionsCostNothingElse) {
  TestAgent agent;
  std::vector<AgentClient> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(agent.Connect());
  EXPECT_EQ(agent.Run(MakeExec("a", {"echo", "x"})).out, "x\n");
  idle.clear();
  size_t open = 1;
  while (open > 0) {
    agent.OnLoop([&](Agent& inner) { open = inner.server().connections(); });
  }
}

TEST(ProtocolTest, RefusesOperationsOnceTheGuestGoesDown) {
  TestAgent agent;
  agent.OnLoop([](Agent& inner) { inner.server().RefuseOperations(); });
  EXPECT_EQ(ReasonFromNumber(agent.Run(MakeExec("a", {"true"})).error.reason()),
            Reason::kSandboxNotRunning);
  ControlRequest ping;
  ping.mutable_ping();
  EXPECT_TRUE(agent.Control(ping).has_ok());
}

TEST(ControlTest, AnswersEachRequestWithItsId) {
  TestAgent agent;
  AgentClient client = agent.Connect();
  agent::v1::Open open;
  open.mutable_control();
  client.Open(open);
  client.Expect(AgentFrame::kOpened);
  for (uint64_t id = 1; id <= 200; ++id) {
    HostFrame frame;
    frame.mutable_control()->set_id(id);
    frame.mutable_control()->mutable_ping();
    client.Send(frame);
  }
  for (uint64_t id = 1; id <= 200; ++id) {
    const ControlResponse response = client.Expect(AgentFrame::kControl).control();
    EXPECT_EQ(response.id(), id);
    EXPECT_TRUE(response.has_ok());
  }
}

TEST(ControlTest, PassesOnWhatConcernsTheMachine) {
  TestAgent agent;
  ControlRequest request;
  request.set_set_clock_ns(1'234'567'890);
  EXPECT_TRUE(agent.Control(request).has_ok());
  EXPECT_EQ(agent.guest().clock(), 1'234'567'890u);
  request.mutable_shutdown()->set_grace_ms(2500);
  EXPECT_TRUE(agent.Control(request).has_ok());
  EXPECT_EQ(agent.guest().shutdown()->grace, absl::Milliseconds(2500));
  EXPECT_EQ(agent.guest().shutdown()->signal, SIGTERM);
  request.mutable_stats();
  EXPECT_EQ(agent.Control(request).stats().processes(), 7u);
}

TEST(ControlTest, AShutdownTellsTheStopSignalAndWhoRuns) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeExec("a", {"sleep", "1000"}));
  const int pid = client.Expect(AgentFrame::kOpened).opened().pid();
  agent.Run(MakeExec("b", {"true"}));
  ControlRequest request;
  request.mutable_shutdown()->set_stop_signal(SIGUSR1);
  EXPECT_TRUE(agent.Control(request).has_ok());
  EXPECT_EQ(agent.guest().shutdown()->signal, SIGUSR1);
  EXPECT_THAT(agent.guest().shutdown()->commands, testing::ElementsAre(pid));
}

TEST(ControlTest, AShutdownBySomethingThatIsNoSignalDoesNothing) {
  TestAgent agent;
  for (const int bad : {-1, 65, 1 << 30}) {
    ControlRequest request;
    request.mutable_shutdown()->set_stop_signal(bad);
    EXPECT_EQ(ReasonFromNumber(agent.Control(request).error().reason()), Reason::kInvalidArgument);
  }
  EXPECT_FALSE(agent.guest().shutdown().has_value());
}

TEST(ControlTest, AnUnknownRequestIsAnErrorOfItsOwn) {
  TestAgent agent;
  EXPECT_EQ(ReasonFromNumber(agent.Control({}).error().reason()), Reason::kAgentProtocol);
}

TEST(ControlTest, ListsSignalsAndRemovesCommands) {
  TestAgent agent;
  AgentClient client = agent.Start(MakeExec("a", {"sleep", "1000"}));
  const int pid = client.Expect(AgentFrame::kOpened).opened().pid();
  agent.Run(MakeExec("b", {"sh", "-c", "exit 3"}));

  ControlRequest list;
  list.mutable_list_execs();
  auto execs = agent.Control(list).execs();
  ASSERT_EQ(execs.execs_size(), 2);
  EXPECT_EQ(execs.execs(0).exec_id(), "a");
  EXPECT_EQ(execs.execs(0).pid(), pid);
  EXPECT_EQ(execs.execs(0).argv(1), "1000");
  EXPECT_TRUE(execs.execs(0).running());
  EXPECT_TRUE(execs.execs(0).attached());
  EXPECT_FALSE(execs.execs(0).has_exited());
  EXPECT_FALSE(execs.execs(1).running());
  EXPECT_FALSE(execs.execs(1).attached());
  EXPECT_EQ(execs.execs(1).exited().exit_code(), 3);

  ControlRequest remove;
  remove.set_remove_exec("a");
  EXPECT_EQ(ReasonFromNumber(agent.Control(remove).error().reason()), Reason::kInvalidArgument);
  remove.set_remove_exec("b");
  EXPECT_TRUE(agent.Control(remove).has_ok());
  EXPECT_EQ(ReasonFromNumber(agent.Control(remove).error().reason()), Reason::kExecNotFound);

  ControlRequest kill;
  kill.mutable_signal_exec()->set_exec_id("a");
  kill.mutable_signal_exec()->set_signal(99);
  EXPECT_EQ(ReasonFromNumber(agent.Control(kill).error().reason()), Reason::kInvalidArgument);
  kill.mutable_signal_exec()->set_signal(SIGKILL);
  EXPECT_TRUE(agent.Control(kill).has_ok());
  EXPECT_EQ(ReadToEnd(client).exited.signal(), SIGKILL);
  EXPECT_EQ(ReasonFromNumber(agent.Control(kill).error().reason()), Reason::kExecFinished);

  ControlRequest resize;
  resize.mutable_resize_exec()->set_exec_id("a");
  EXPECT_EQ(ReasonFromNumber(agent.Control(resize).error().reason()), Reason::kNotATerminal);
  EXPECT_EQ(agent.Control(list).execs().execs_size(), 1);
}

TEST(ControlTest, CountsFileOperations) {
  TestAgent agent;
  const TempDir directory;
  ControlRequest list;
  list.mutable_list_execs();
  EXPECT_EQ(agent.Control(list).execs().file_operations(), 0u);
  AgentClient client = agent.Connect();
  agent::v1::Open open;
  open.mutable_write_file()->set_path(directory.path() + "/file");
  client.Open(open);
  client.Expect(AgentFrame::kOpened);
  EXPECT_EQ(agent.Control(list).execs().file_operations(), 1u);
  client.End();
  client.Expect(AgentFrame::kDone);
  client.Close();
  while (agent.Control(list).execs().file_operations() > 0) {
  }
}

TEST(VsockTest, KnowsTheHostFromOtherPeers) {
  const auto peer = [](uint32_t cid) {
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid;
    sockaddr_storage storage{};
    std::memcpy(&storage, &address, sizeof(address));
    return storage;
  };
  EXPECT_TRUE(IsHost(peer(VMADDR_CID_HOST)));
  EXPECT_FALSE(IsHost(peer(VMADDR_CID_LOCAL)));
  EXPECT_FALSE(IsHost(peer(3)));  // a machine of the guest's own
  sockaddr_storage unix_peer{};
  unix_peer.ss_family = AF_UNIX;
  EXPECT_TRUE(IsHost(unix_peer));
}

}  // namespace
}  // namespace msb
