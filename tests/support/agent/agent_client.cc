// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/agent/agent_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/frames.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::HostFrame;

constexpr absl::Duration kPatience = absl::Seconds(30);

}  // namespace

void AgentClient::Send(const HostFrame& frame) {
  const absl::Status sent =
      WriteFrame(socket_.get(), frame.SerializeAsString(), absl::Now() + kPatience);
  if (!sent.ok()) ADD_FAILURE() << sent;
}

void AgentClient::SendBytes(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      ADD_FAILURE() << "send failed";
      return;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void AgentClient::Open(agent::v1::Open open) {
  open.set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  HostFrame frame;
  *frame.mutable_open() = std::move(open);
  Send(frame);
}

void AgentClient::SendStdin(absl::string_view bytes) {
  HostFrame frame;
  frame.set_stdin(std::string(bytes));
  Send(frame);
}

void AgentClient::SendData(absl::string_view bytes) {
  HostFrame frame;
  frame.set_data(std::string(bytes));
  Send(frame);
}

void AgentClient::CloseStdin() {
  HostFrame frame;
  frame.mutable_close_stdin();
  Send(frame);
}

void AgentClient::End() {
  HostFrame frame;
  frame.mutable_end();
  Send(frame);
}

std::optional<AgentFrame> AgentClient::Receive() {
  const auto payload = ReadFrame(socket_.get(), absl::Now() + kPatience);
  if (absl::IsDeadlineExceeded(payload.status())) ADD_FAILURE() << "no frame came";
  if (!payload.ok() || !payload->has_value()) return std::nullopt;
  AgentFrame frame;
  if (!frame.ParseFromString(**payload)) {
    ADD_FAILURE() << "a frame that cannot be read";
    return std::nullopt;
  }
  return frame;
}

AgentFrame AgentClient::Expect(AgentFrame::FrameCase kind) {
  std::optional<AgentFrame> frame = Receive();
  if (!frame) {
    ADD_FAILURE() << "the stream ended instead of frame " << kind;
    return AgentFrame();
  }
  EXPECT_EQ(frame->frame_case(), kind) << frame->error().message();
  return *std::move(frame);
}

void AgentClient::HalfClose() { ::shutdown(socket_.get(), SHUT_WR); }

ExecResult ReadToEnd(AgentClient& client, uint64_t stdout_offset, uint64_t stderr_offset) {
  ExecResult result;
  while (std::optional<AgentFrame> frame = client.Receive()) {
    switch (frame->frame_case()) {
      case AgentFrame::kStdout:
        EXPECT_EQ(frame->stdout().offset(), stdout_offset + result.out.size());
        result.out += frame->stdout().data();
        break;
      case AgentFrame::kStderr:
        EXPECT_EQ(frame->stderr().offset(), stderr_offset + result.err.size());
        result.err += frame->stderr().data();
        break;
      case AgentFrame::kExited:
        result.exited = frame->exited();
        EXPECT_FALSE(client.Receive().has_value()) << "a frame behind exited";
        return result;
      case AgentFrame::kError:
        result.error = frame->error();
        result.ended_in_error = true;
        return result;
      case AgentFrame::kOpened:
        break;
      default:
        ADD_FAILURE() << "frame " << frame->frame_case() << " of a command";
    }
  }
  ADD_FAILURE() << "the stream ended without exited";
  return result;
}

FileResult ReadFileResult(AgentClient& client) {
  FileResult result;
  while (std::optional<AgentFrame> frame = client.Receive()) {
    switch (frame->frame_case()) {
      case AgentFrame::kFileInfo:
        result.infos.push_back(frame->file_info());
        break;
      case AgentFrame::kTreeEntry:
        result.entries.push_back(frame->tree_entry());
        break;
      case AgentFrame::kData:
        result.data += frame->data();
        break;
      case AgentFrame::kDone:
        result.done = frame->done();
        return result;
      case AgentFrame::kError:
        result.error = frame->error();
        result.ended_in_error = true;
        return result;
      case AgentFrame::kOpened:
        break;
      default:
        ADD_FAILURE() << "frame " << frame->frame_case() << " of a file operation";
    }
  }
  ADD_FAILURE() << "the stream ended without done";
  return result;
}

agent::v1::Exec MakeExec(absl::string_view id, std::initializer_list<absl::string_view> argv) {
  agent::v1::Exec exec;
  exec.set_exec_id(std::string(id));
  for (const absl::string_view argument : argv) exec.add_argv(std::string(argument));
  exec.set_cwd("/");
  exec.set_attached(true);
  return exec;
}

}  // namespace msb
