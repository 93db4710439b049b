// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The host's end of one connection to the agent, for tests: sends frames, reads frames, waits.

#ifndef MSB_TESTS_SUPPORT_AGENT_AGENT_CLIENT_H_
#define MSB_TESTS_SUPPORT_AGENT_AGENT_CLIENT_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

class AgentClient {
 public:
  explicit AgentClient(UniqueFd socket) : socket_(std::move(socket)) {}

  // All of these fail the running test (ADD_FAILURE) rather than hang: nothing takes 30 s.
  void Send(const agent::v1::HostFrame& frame);
  void SendBytes(absl::string_view bytes);
  void Open(agent::v1::Open open);
  void SendStdin(absl::string_view bytes);
  void SendData(absl::string_view bytes);
  void CloseStdin();
  void End();
  // The next frame; nullopt at the end of the stream, clean or not.
  std::optional<agent::v1::AgentFrame> Receive();
  // Receive, which must give a frame of that kind.
  agent::v1::AgentFrame Expect(agent::v1::AgentFrame::FrameCase kind);

  // The host has no more to say, but listens.
  void HalfClose();
  // The host is gone.
  void Close() { socket_.Reset(); }
  int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
};

// What a command has said up to its end.
struct ExecResult {
  std::string out;
  std::string err;
  agent::v1::Exited exited;
  agent::v1::Error error;  // when `exited` did not come
  bool ended_in_error = false;
};
// Reads until `exited` or `error`. Checks that offsets have no gap, beginning at the given ones.
ExecResult ReadToEnd(AgentClient& client, uint64_t stdout_offset = 0, uint64_t stderr_offset = 0);

// What a file operation has answered.
struct FileResult {
  std::vector<agent::v1::FileInfo> infos;
  std::vector<agent::v1::TreeEntry> entries;
  std::string data;
  agent::v1::Done done;
  agent::v1::Error error;
  bool ended_in_error = false;
};
FileResult ReadFileResult(AgentClient& client);

// An attached command with an environment of PATH alone.
agent::v1::Exec MakeExec(absl::string_view id, std::initializer_list<absl::string_view> argv);

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_AGENT_AGENT_CLIENT_H_
