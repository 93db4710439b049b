// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/support/supervisor/api/api_fixture.h"

namespace msb {
namespace {

namespace api = msb::v1;
using Stub = api::ExecService::Stub;

// What a command's stream said.
struct Story {
  std::string exec_id, out, err;
  int exit_code = -1;
  CallEnd end;
};

class ExecServiceTest : public ApiFixture {
 protected:
  void SetUp() override {
    ApiFixture::SetUp();
    MakeBox();
  }
  // Reads to the end.
  template <typename Stream>
  static Story Listen(const grpc::ClientContext& context, Stream& stream) {
    Story story;
    api::ExecResponse response;
    while (stream.Read(&response)) {
      if (response.has_started()) story.exec_id = response.started().exec_id();
      if (response.has_stdout()) story.out += response.stdout().data();
      if (response.has_stderr()) story.err += response.stderr().data();
      if (response.has_exited()) story.exit_code = response.exited().exit_code();
    }
    story.end = EndOf(context, stream.Finish());
    return story;
  }
  Story Run(const api::ExecRequest& first) {
    const auto context = NewContext();
    const auto stream = execs_->Exec(context.get());
    stream->Write(first);
    stream->WritesDone();
    return Listen(*context, *stream);
  }
  // Starts a command, and returns its id when it runs.
  std::string Begin(ExecStream& stream, const api::ExecRequest& first) {
    stream->Write(first);
    api::ExecResponse response;
    return stream->Read(&response) ? response.started().exec_id() : "";
  }
  static api::ExecRequest AttachTo(const std::string& exec_id) {
    api::ExecRequest request;
    request.mutable_attach()->set_sandbox("box");
    request.mutable_attach()->set_exec_id(exec_id);
    return request;
  }
  bool IsRunning(const std::string& exec_id) {
    api::ListExecsResponse list;
    EXPECT_TRUE(Call(execs_, &Stub::ListExecs, On<api::ListExecsRequest>("box"), list).ok());
    for (const auto& exec : list.execs()) {
      if (exec.exec_id() == exec_id) return exec.running();
    }
    return false;
  }
  void End(const std::string& exec_id) {
    auto kill = On<api::SignalExecRequest>("box");
    kill.set_exec_id(exec_id);
    kill.set_signal(SIGKILL);
    EXPECT_TRUE(Call(execs_, &Stub::SignalExec, kill).ok());
  }
};

TEST_F(ExecServiceTest, RunsACommandWithInputAndOutput) {
  const auto context = NewContext();
  const auto stream = execs_->Exec(context.get());
  stream->Write(StartOf("cat; echo oops >&2; exit 3"));
  api::ExecRequest input;
  input.set_stdin("hello");
  stream->Write(input);
  stream->WritesDone();

  const Story story = Listen(*context, *stream);

  EXPECT_TRUE(story.end.ok()) << story.end;
  EXPECT_EQ(story.out, "hello");
  EXPECT_EQ(story.err, "oops\n");
  EXPECT_EQ(story.exit_code, 3);
}

TEST_F(ExecServiceTest, AMissingBinaryHasItsReason) {
  api::ExecRequest first;
  first.mutable_start()->set_sandbox("box");
  first.mutable_start()->add_argv("/nonexistent");

  EXPECT_EQ(Run(first).end.reason, "COMMAND_NOT_FOUND");
}

TEST_F(ExecServiceTest, WhatTheGuestSaysOfAWrongUserReachesTheClient) {
  daemon_.launcher()
      .Find(daemon_.Get("box")->id())
      ->agent()
      .SetStory([](FakeConnection& connection, const msb::agent::v1::Open& open) {
        if (!open.has_exec()) return false;
        connection.SendError(static_cast<int>(Reason::kUserNotFound), "no user nobody-here");
        return true;
      });
  api::ExecRequest first = StartOf("true");
  first.mutable_start()->set_user("nobody-here");

  EXPECT_EQ(Run(first).end.reason, "USER_NOT_FOUND");
}

TEST_F(ExecServiceTest, RefusesWhatIsNoCommand) {
  const auto refused = [&](auto change) {
    api::ExecRequest first = StartOf("true");
    change(*first.mutable_start());
    return Run(first).end.reason;
  };
  EXPECT_EQ(refused([](api::ExecStart& s) { s.clear_argv(); }), "INVALID_ARGUMENT");
  EXPECT_EQ(refused([](api::ExecStart& s) { s.set_argv(2, std::string("a\0b", 3)); }),
            "INVALID_ARGUMENT");
  EXPECT_EQ(refused([](api::ExecStart& s) { s.set_user("a\nb"); }), "INVALID_ARGUMENT");
  EXPECT_EQ(refused([](api::ExecStart& s) { s.set_workdir("relative"); }), "PATH_INVALID");
  EXPECT_EQ(refused([](api::ExecStart& s) { (*s.mutable_env())["a=b"] = ""; }), "INVALID_ARGUMENT");
  EXPECT_EQ(refused([](api::ExecStart& s) { s.set_sandbox("nobody"); }), "SANDBOX_NOT_FOUND");
}

TEST_F(ExecServiceTest, RefusesAStreamThatBeginsWrongly) {
  api::ExecRequest input;
  input.set_stdin("hello");
  EXPECT_EQ(Run(input).end.reason, "INVALID_ARGUMENT");
  EXPECT_EQ(Run(AttachTo("x")).end.reason, "INVALID_ARGUMENT");

  const auto context = NewContext();
  const auto stream = execs_->Exec(context.get());
  stream->WritesDone();
  EXPECT_EQ(Listen(*context, *stream).end.reason, "INVALID_ARGUMENT");
}

TEST_F(ExecServiceTest, RefusesASecondStart) {
  const auto context = NewContext();
  ExecStream stream = execs_->Exec(context.get());
  const std::string id = Begin(stream, StartOf("sleep 1000"));
  ASSERT_FALSE(id.empty());

  stream->Write(StartOf("true"));

  EXPECT_EQ(Listen(*context, *stream).end.reason, "INVALID_ARGUMENT");
  End(id);
}

TEST_F(ExecServiceTest, ACommandOutlivesAClientThatVanishes) {
  std::string id;
  {
    const auto context = NewContext();
    ExecStream stream = execs_->Exec(context.get());
    id = Begin(stream, StartOf("echo one; read line; echo two"));
    ASSERT_FALSE(id.empty());
    context->TryCancel();
    EXPECT_EQ(Listen(*context, *stream).end.code, grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(IsRunning(id));

  const auto context = NewContext();
  const auto stream = execs_->Attach(context.get());
  api::ExecRequest attach = AttachTo(id);
  attach.mutable_attach()->set_take_over(true);  // it may not have heard yet that the first is gone
  stream->Write(attach);
  api::ExecRequest input;
  input.set_stdin("\n");
  stream->Write(input);

  const Story story = Listen(*context, *stream);
  EXPECT_EQ(story.out, "one\ntwo\n");
  EXPECT_EQ(story.exit_code, 0);
}

TEST_F(ExecServiceTest, OneClientAtATimeIsOnACommand) {
  const auto context = NewContext();
  ExecStream first = execs_->Exec(context.get());
  const std::string id = Begin(first, StartOf("sleep 1000"));
  ASSERT_FALSE(id.empty());

  const auto second_context = NewContext();
  const auto second = execs_->Attach(second_context.get());
  second->Write(AttachTo(id));

  EXPECT_EQ(Listen(*second_context, *second).end.reason, "EXEC_ALREADY_ATTACHED");
  End(id);
  EXPECT_TRUE(Listen(*context, *first).end.ok());
}

TEST_F(ExecServiceTest, KnowsNoCommandOfAnUnknownId) {
  const auto context = NewContext();
  const auto stream = execs_->Attach(context.get());
  stream->Write(AttachTo("e-none"));
  EXPECT_EQ(Listen(*context, *stream).end.reason, "EXEC_NOT_FOUND");

  auto signal = On<api::SignalExecRequest>("box");
  signal.set_exec_id("e-none");
  signal.set_signal(SIGTERM);
  EXPECT_EQ(Call(execs_, &Stub::SignalExec, signal).reason, "EXEC_NOT_FOUND");
}

TEST_F(ExecServiceTest, RefusesSignalsAndSizesThatAreNone) {
  auto signal = On<api::SignalExecRequest>("box");
  signal.set_exec_id("x");
  signal.set_signal(1000);
  EXPECT_EQ(Call(execs_, &Stub::SignalExec, signal).reason, "INVALID_ARGUMENT");
  auto resize = On<api::ResizeExecRequest>("box");
  resize.set_exec_id("x");
  resize.mutable_size()->set_rows(UINT32_MAX);
  EXPECT_EQ(Call(execs_, &Stub::ResizeExec, resize).reason, "INVALID_ARGUMENT");
}

TEST_F(ExecServiceTest, CollectsAShortCommand) {
  api::RunRequest request;
  *request.mutable_start() = StartOf("cat; echo x >&2; exit 4").start();
  request.set_stdin("input");

  api::RunResponse response;
  ASSERT_TRUE(Call(execs_, &Stub::Run, request, response).ok());

  EXPECT_EQ(response.stdout(), "input");
  EXPECT_EQ(response.stderr(), "x\n");
  EXPECT_EQ(response.exited().exit_code(), 4);
}

TEST_F(ExecServiceTest, CutsWhatIsTooMuch) {
  api::RunRequest request;
  *request.mutable_start() = StartOf("echo 123456").start();
  request.set_max_output_bytes(3);

  api::RunResponse response;
  ASSERT_TRUE(Call(execs_, &Stub::Run, request, response).ok());

  EXPECT_EQ(response.stdout(), "123");
  EXPECT_TRUE(response.stdout_cut());
}

TEST_F(ExecServiceTest, ACommandEndsWithItsSandbox) {
  const auto context = NewContext();
  ExecStream stream = execs_->Exec(context.get());
  ASSERT_FALSE(Begin(stream, StartOf("sleep 1000")).empty());
  auto stop = On<api::StopRequest>("box");
  stop.set_force(true);
  ASSERT_TRUE(Call(sandboxes_, &api::SandboxService::Stub::Stop, stop).ok());

  EXPECT_EQ(Listen(*context, *stream).end.reason, "SANDBOX_STOPPED");
}

TEST_F(ExecServiceTest, NothingRunsInASandboxThatIsStopped) {
  ASSERT_TRUE(Call(sandboxes_, &api::SandboxService::Stub::Stop, On<api::StopRequest>("box")).ok());

  EXPECT_EQ(Run(StartOf("true")).end.reason, "SANDBOX_NOT_RUNNING");
  EXPECT_EQ(Call(execs_, &Stub::ListExecs, On<api::ListExecsRequest>("box")).reason,
            "SANDBOX_NOT_RUNNING");
}

}  // namespace
}  // namespace msb
