// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/guest_operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <condition_variable>
#include <csignal>
#include <mutex>

#include "base/frames.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using testing::HasSubstr;

// Takes what a command says, and waits for its end. Gives the window back unless told to hold it.
class RecordingSink final : public ExecSink {
 public:
  void OnStarted(const ExecStartedInfo& info) override {
    Change([&] { started = info; });
  }
  void OnOutput(ExecOutput stream, uint64_t offset, std::string data) override {
    const size_t bytes = data.size();
    Change([&] {
      std::string& text = stream == ExecOutput::kStdout ? out : err;
      EXPECT_EQ(offset, first_offset + text.size());
      text += data;
    });
    if (session && !hold) session->Acknowledge(bytes);
  }
  void OnExited(const ExecExitedInfo& info) override {
    Change([&] { exited = info; });
  }
  void OnFailed(absl::Status status) override {
    Change([&] { failed = std::move(status); });
  }

  void Wait(const std::function<bool()>& until) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, until);
  }
  void WaitForEnd() {
    Wait([this] { return exited || failed; });
  }

  std::optional<ExecStartedInfo> started;
  std::optional<ExecExitedInfo> exited;
  std::optional<absl::Status> failed;
  std::string out, err;
  uint64_t first_offset = 0;
  std::shared_ptr<ExecSession> session;
  bool hold = false;

 private:
  void Change(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

class GuestOperationsTest : public testing::Test {
 protected:
  void SetUp() override {
    daemon_.config().agent.loss_settle = absl::Seconds(10);
    Boot();
  }
  void Boot() {
    daemon_.Up();
    msb::v1::SandboxSpec spec;
    spec.set_name("box");
    id_ = daemon_.Create(spec)->id();
  }

  absl::StatusOr<OpenedExec> Exec(ExecSpec spec, const std::shared_ptr<RecordingSink>& sink) {
    auto opened = DaemonFixture::Await<absl::StatusOr<OpenedExec>>([&](auto done) {
      daemon_.registry().With(daemon_.caller, "box", [=](Registry::Found found) {
        OpenExec(*found, spec, sink, [sink, done](absl::StatusOr<OpenedExec> exec) {
          if (exec.ok()) sink->session = exec->session;
          done(std::move(exec));
        });
      });
    });
    return opened;
  }
  absl::StatusOr<OpenedExec> Attach(AttachSpec spec, const std::shared_ptr<RecordingSink>& sink) {
    return DaemonFixture::Await<absl::StatusOr<OpenedExec>>([&](auto done) {
      daemon_.registry().With(daemon_.caller, "box", [=](Registry::Found found) {
        OpenAttach(*found, spec, sink, [sink, done](absl::StatusOr<OpenedExec> exec) {
          if (exec.ok()) sink->session = exec->session;
          done(std::move(exec));
        });
      });
    });
  }
  static ExecSpec Shell(const std::string& script) { return {.argv = {"/bin/sh", "-c", script}}; }
  FakeAgent& agent() { return daemon_.launcher().Find(id_)->agent(); }

  DaemonFixture daemon_;
  std::string id_;
  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
};

TEST_F(GuestOperationsTest, ACommandRunsWithTheImagesEnvironmentAndTellsItsEnd) {
  ASSERT_OK(Exec(Shell("echo $FROM_IMAGE; echo oops >&2; exit 3"), sink_));
  sink_->WaitForEnd();
  ASSERT_TRUE(sink_->exited);
  EXPECT_EQ(sink_->out, "yes\n");
  EXPECT_EQ(sink_->err, "oops\n");
  EXPECT_EQ(sink_->exited->exit_code, 3);
}

TEST_F(GuestOperationsTest, InputReachesTheCommandUntilItIsClosed) {
  ASSERT_OK(Exec(Shell("cat"), sink_));
  absl::Notification accepted;
  sink_->session->WriteStdin("hello ", [&] { accepted.Notify(); });
  accepted.WaitForNotification();
  sink_->session->WriteStdin("world", nullptr);
  sink_->session->CloseStdin();
  sink_->WaitForEnd();
  EXPECT_EQ(sink_->out, "hello world");
}

TEST_F(GuestOperationsTest, ACommandThatIsNotThereHasItsReason) {
  ASSERT_OK(Exec({.argv = {"/nonexistent"}}, sink_));
  sink_->WaitForEnd();
  ASSERT_TRUE(sink_->failed);
  EXPECT_THAT(*sink_->failed, HasReason(Reason::kCommandNotFound));
}

TEST_F(GuestOperationsTest, AClientThatTakesNothingHoldsTheCommandUpWithinTheWindow) {
  sink_->hold = true;
  ASSERT_OK(Exec(Shell("head -c 50000000 /dev/zero"), sink_));
  const size_t window = daemon_.config().limits.stream_window_kib * 1024;
  sink_->Wait([&] { return sink_->out.size() >= window; });
  // One frame may be on its way when the window closes; the connection is asked behind it.
  ASSERT_OK(
      daemon_.Do("box", [](const auto& held, Sandbox::Done done) { held->CountExecs(done); }));
  EXPECT_LE(sink_->out.size(), window + kMaxFrameBytes);
  EXPECT_FALSE(sink_->exited);
  sink_->hold = false;
  sink_->session->Acknowledge(sink_->out.size());
  sink_->WaitForEnd();
  EXPECT_EQ(sink_->out.size(), 50'000'000u);
}

TEST_F(GuestOperationsTest, ALeftCommandGoesOnAndIsJoinedWhereItWasLeft) {
  const std::string gate = daemon_.dir().path() + "/gate";
  ASSERT_OK_AND_ASSIGN(const OpenedExec opened, Exec(Shell("echo first; while [ ! -e " + gate +
                                                           " ]; do sleep 0.01; done; echo second"),
                                                     sink_));
  sink_->Wait([this] { return sink_->out == "first\n"; });
  sink_->session->Leave();
  daemon_.dir().Write("gate", "");
  const auto again = std::make_shared<RecordingSink>();
  again->first_offset = 6;
  // The fake tells a second client off until it has noticed that the first one went.
  do {
    again->failed.reset();
    ASSERT_OK(Attach({.exec_id = opened.exec_id, .stdout_offset = 6, .take_over = true}, again));
    again->WaitForEnd();
  } while (again->failed);
  EXPECT_EQ(again->out, "second\n");
  EXPECT_EQ(again->exited->exit_code, 0);
}

TEST_F(GuestOperationsTest, ASecondClientIsToldOfTheFirst) {
  ASSERT_OK_AND_ASSIGN(const OpenedExec opened, Exec(Shell("cat"), sink_));
  sink_->Wait([this] { return sink_->started.has_value(); });
  const auto second = std::make_shared<RecordingSink>();
  ASSERT_OK(Attach({.exec_id = opened.exec_id}, second));
  second->WaitForEnd();
  EXPECT_THAT(*second->failed, HasReason(Reason::kExecAlreadyAttached));
  const auto third = std::make_shared<RecordingSink>();
  ASSERT_OK(Attach({.exec_id = opened.exec_id, .take_over = true}, third));
  sink_->WaitForEnd();
  EXPECT_THAT(*sink_->failed, HasReason(Reason::kExecAlreadyAttached));
  third->session->CloseStdin();
  third->WaitForEnd();
  EXPECT_TRUE(third->exited);
}

TEST_F(GuestOperationsTest, ADaemonThatIsRestartedFindsTheCommand) {
  ASSERT_OK_AND_ASSIGN(const OpenedExec opened, Exec(Shell("echo before; cat"), sink_));
  sink_->Wait([this] { return sink_->out == "before\n"; });
  sink_->session.reset();
  daemon_.Crash();
  daemon_.Up();
  const auto again = std::make_shared<RecordingSink>();
  ASSERT_OK(Attach({.exec_id = opened.exec_id, .take_over = true}, again));
  again->Wait([&] { return again->out == "before\n"; });
  again->session->WriteStdin("after", nullptr);
  again->session->CloseStdin();
  again->WaitForEnd();
  EXPECT_EQ(again->out, "before\nafter");
}

TEST_F(GuestOperationsTest, AStoppedSandboxRunsNothing) {
  ASSERT_OK(daemon_.Stop("box"));
  EXPECT_THAT(Exec(Shell("true"), sink_), HasReason(Reason::kSandboxNotRunning));
}

TEST_F(GuestOperationsTest, APausedSandboxSaysSo) {
  ASSERT_OK(daemon_.Do("box", [](const auto& held, Sandbox::Done done) { held->Pause(done); }));
  EXPECT_THAT(Exec(Shell("true"), sink_), HasReason(Reason::kSandboxWrongState));
}

TEST_F(GuestOperationsTest, ACommandInASandboxThatDiesLearnsTheReason) {
  ASSERT_OK(Exec(Shell("cat"), sink_));
  sink_->Wait([this] { return sink_->started.has_value(); });
  // The connection breaks first, as it does when a VMM is killed.
  agent().DropAll();
  daemon_.launcher().Find(id_)->End(Reason::kTripleFault, "rip=0x10");
  sink_->WaitForEnd();
  EXPECT_THAT(*sink_->failed, HasReason(Reason::kSandboxStopped));
  EXPECT_THAT(std::string(sink_->failed->message()), HasSubstr("TRIPLE_FAULT: rip=0x10"));
}

TEST_F(GuestOperationsTest, AConnectionThatBreaksAloneIsALoss) {
  daemon_.Crash();
  daemon_.config().agent.loss_settle = absl::Milliseconds(10);
  daemon_.Up();
  ASSERT_OK(Exec(Shell("cat"), sink_));
  sink_->Wait([this] { return sink_->started.has_value(); });
  agent().DropAll();
  sink_->WaitForEnd();
  EXPECT_THAT(*sink_->failed, HasReason(Reason::kExecLost));
  EXPECT_EQ(daemon_.Get("box")->state(), msb::v1::SANDBOX_STATE_RUNNING);
}

TEST_F(GuestOperationsTest, TheLimitOnCommandsHoldsAndIsToldByTheGuest) {
  daemon_.Crash();
  daemon_.config().limits.max_execs_per_sandbox = 2;
  daemon_.Up();
  ExecSpec background = Shell("exec sleep 100");
  background.detach = true;
  ASSERT_OK_AND_ASSIGN(const OpenedExec first, Exec(background, sink_));
  sink_->Wait([this] { return sink_->started.has_value(); });
  const auto second = std::make_shared<RecordingSink>();
  ASSERT_OK(Exec(background, second));
  second->Wait([&] { return second->started.has_value(); });
  const auto third = std::make_shared<RecordingSink>();
  EXPECT_THAT(Exec(background, third), HasReason(Reason::kTooManyExecs));
  // Unheard by the daemon, one of them ends.
  agent().FindExec(first.exec_id)->Signal(SIGKILL);
  absl::StatusOr<OpenedExec> exec = MakeError(Reason::kTooManyExecs, "");
  while (ReasonOf(exec.status()) == Reason::kTooManyExecs) exec = Exec(background, third);
  EXPECT_OK(exec);
}

TEST_F(GuestOperationsTest, EventsTellStartAndEndOnce) {
  ASSERT_OK_AND_ASSIGN(const OpenedExec opened, Exec(Shell("exit 4"), sink_));
  sink_->WaitForEnd();
  const auto again = std::make_shared<RecordingSink>();
  ASSERT_OK(Attach({.exec_id = opened.exec_id}, again));
  again->WaitForEnd();
  ASSERT_OK(daemon_.Get("box"));  // the loop has turned
  int started = 0, exited = 0;
  for (uint64_t at = 1; at < daemon_.events().Next(); ++at) {
    const msb::v1::Event event = daemon_.events().Read(at)->event;
    if (!event.has_exec()) continue;
    EXPECT_EQ(event.exec().exec_id(), opened.exec_id);
    EXPECT_EQ(event.exec().argv(2), "exit 4");
    if (event.exec().kind() == msb::v1::ExecEvent::KIND_STARTED) ++started;
    if (event.exec().kind() == msb::v1::ExecEvent::KIND_EXITED) {
      ++exited;
      EXPECT_EQ(event.exec().exit_code(), 4);
    }
  }
  EXPECT_EQ(started, 1);
  EXPECT_EQ(exited, 1);
}

TEST_F(GuestOperationsTest, ACommandKeepsItsSandboxFromBeingIdle) {
  msb::v1::UpdateRequest changes;
  changes.mutable_limits()->mutable_idle_timeout()->set_nanos(20'000'000);
  ASSERT_OK(Exec(Shell("cat"), sink_));
  sink_->Wait([this] { return sink_->started.has_value(); });
  ASSERT_OK(daemon_.Do(
      "box", [&](const auto& held, const Sandbox::Done& done) { done(held->Update(changes)); }));
  // Left alone it still runs, and the guest is asked before the sandbox is stopped.
  sink_->session->Leave();
  const auto second = std::make_shared<RecordingSink>();
  ASSERT_OK(Exec(Shell("sleep 0.1"), second));
  second->WaitForEnd();
  EXPECT_EQ(daemon_.Get("box")->state(), msb::v1::SANDBOX_STATE_RUNNING);
}

// --- a hostile agent ---

struct HostileCase {
  const char* name;
  std::string (*bytes)();
  Reason reason;
};

std::string Framed(const msb::agent::v1::AgentFrame& frame) {
  std::string bytes;
  AppendFrame(frame.SerializeAsString(), bytes);
  return bytes;
}

class HostileAgentTest : public GuestOperationsTest,
                         public testing::WithParamInterface<HostileCase> {};

TEST_P(HostileAgentTest, HarmsNoMoreThanItsOwnCommand) {
  daemon_.Crash();
  daemon_.config().agent.loss_settle = absl::Milliseconds(10);
  daemon_.Up();
  agent().SetStory([](FakeConnection& connection, const msb::agent::v1::Open& open) {
    if (!open.has_exec()) return false;
    const std::string bytes = GetParam().bytes();
    return ::send(connection.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0;
  });
  ASSERT_OK(Exec(Shell("true"), sink_));
  sink_->WaitForEnd();
  ASSERT_TRUE(sink_->failed);
  EXPECT_THAT(*sink_->failed, HasReason(GetParam().reason));
  agent().SetStory(nullptr);
  const auto next = std::make_shared<RecordingSink>();
  ASSERT_OK(Exec(Shell("true"), next));
  next->WaitForEnd();
  EXPECT_TRUE(next->exited);
}

INSTANTIATE_TEST_SUITE_P(
    All, HostileAgentTest,
    testing::Values(
        HostileCase{"says_nothing", [] { return std::string(); }, Reason::kAgentUnreachable},
        HostileCase{"cuts_a_frame", [] { return std::string("\x10\0\0\0abc", 7); },
                    Reason::kFrameTruncated},
        HostileCase{"announces_gigabytes", [] { return std::string("\xff\xff\xff\xff"); },
                    Reason::kFrameTooLarge},
        HostileCase{"sends_no_message", [] { return std::string("\x04\0\0\0\xff\xff\xff\xff", 8); },
                    Reason::kAgentProtocol},
        HostileCase{"exits_before_it_opens",
                    [] {
                      msb::agent::v1::AgentFrame frame;
                      frame.mutable_exited();
                      return Framed(frame);
                    },
                    Reason::kAgentProtocol},
        HostileCase{"opens_twice",
                    [] {
                      msb::agent::v1::AgentFrame frame;
                      frame.mutable_opened();
                      return Framed(frame) + Framed(frame);
                    },
                    Reason::kAgentProtocol},
        HostileCase{"sends_files",
                    [] {
                      msb::agent::v1::AgentFrame opened, data;
                      opened.mutable_opened();
                      data.set_data("x");
                      return Framed(opened) + Framed(data);
                    },
                    Reason::kAgentProtocol},
        HostileCase{"speaks_for_the_host",
                    [] {
                      msb::agent::v1::AgentFrame frame;
                      frame.mutable_error()->set_reason(static_cast<int>(Reason::kSandboxNotFound));
                      frame.mutable_error()->set_message("\x1b[31m");
                      return Framed(frame);
                    },
                    Reason::kAgentProtocol}),
    [](const auto& test) { return test.param.name; });

TEST_F(GuestOperationsTest, AHostileExitIsPutInItsRange) {
  agent().SetStory([](FakeConnection& connection, const msb::agent::v1::Open& open) {
    if (!open.has_exec()) return false;
    msb::agent::v1::AgentFrame opened, exited;
    opened.mutable_opened();
    exited.mutable_exited()->set_exit_code(-5);
    exited.mutable_exited()->set_signal(1 << 30);
    exited.mutable_exited()->set_duration_ns(UINT64_MAX);
    connection.Send(opened);
    connection.Send(exited);
    return true;
  });
  ASSERT_OK(Exec(Shell("true"), sink_));
  sink_->WaitForEnd();
  ASSERT_TRUE(sink_->exited);
  EXPECT_EQ(sink_->exited->exit_code, 0);
  EXPECT_EQ(sink_->exited->signal, 64);
}

}  // namespace
}  // namespace msb
