// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// FileChannel on a blocking socket.

#ifndef MSB_GUEST_AGENT_LINK_SOCKET_CHANNEL_H_
#define MSB_GUEST_AGENT_LINK_SOCKET_CHANNEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/frame_input.h"
#include "base/unique_fd.h"
#include "guest-agent/files/file_channel.h"

namespace msb {

// Belongs to the thread of its operation.
class SocketChannel final : public FileChannel {
 public:
  // `input` holds what was read from the socket already.
  SocketChannel(UniqueFd socket, std::unique_ptr<FrameInput> input)
      : socket_(std::move(socket)), input_(std::move(input)) {}

  absl::Status Send(const agent::v1::AgentFrame& frame) override;
  absl::Status SendData(absl::string_view data) override;
  absl::Status Flush() override;
  absl::StatusOr<Input> Receive() override;
  absl::StatusOr<Input> ReceiveInto(absl::Span<char> room) override;
  void ExpectMuch() override;
  bool HostListens() override;
  int poll_fd() const override { return socket_.get(); }

  // Sends the last frame and the end of the stream, then waits for the host's, reading on: closing
  // on unread input would reset the connection before the host has read the answer.
  void Finish(const agent::v1::AgentFrame& last);

 private:
  // Sends what waits, and lets go of what the last Receive gave.
  absl::Status FinishLast();
  // What comes next; `most`: bytes that are read at once.
  absl::StatusOr<Input> Next(size_t most);
  absl::Status SendAll(absl::string_view first, absl::string_view second);

  UniqueFd socket_;
  std::unique_ptr<FrameInput> input_;
  size_t unconsumed_ = 0;  // of the chunk that Receive gave last
  std::string waiting_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_SOCKET_CHANNEL_H_
