// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/socket_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "guest-agent/errno_status.h"
#include "guest-agent/files/direct_io.h"
#include "guest-agent/link/connection.h"
#include "guest-agent/link/vsock.h"
#include "guest-agent/link/wire.h"

namespace msb {
namespace {

// Small frames leave together once there are this many bytes.
constexpr size_t kSendTogetherBytes = 64 * 1024;

absl::Status HostHasGone() {
  return MakeError(Reason::kFrameTruncated, "the host has gone before the end of its data");
}

}  // namespace

absl::Status SocketChannel::Send(const agent::v1::AgentFrame& frame) {
  waiting_ += EncodeFrame(frame);
  if (waiting_.size() < kSendTogetherBytes) return absl::OkStatus();
  return Flush();
}

absl::Status SocketChannel::SendData(absl::string_view data) {
  waiting_ += DataFrameHeader(data.size());
  const std::string header = std::exchange(waiting_, {});
  return SendAll(header, data);
}

absl::Status SocketChannel::Flush() {
  const std::string bytes = std::exchange(waiting_, {});
  return SendAll(bytes, {});
}

absl::Status SocketChannel::SendAll(absl::string_view first, absl::string_view second) {
  if (SendBoth(socket_.get(), first, second)) return absl::OkStatus();
  return ErrnoError(Reason::kAgentUnreachable, "send to the host", errno);
}

absl::StatusOr<FileChannel::Input> SocketChannel::Receive() {
  MSB_RETURN_IF_ERROR(FinishLast());
  return Next(SIZE_MAX);
}

absl::StatusOr<FileChannel::Input> SocketChannel::ReceiveInto(absl::Span<char> room) {
  MSB_RETURN_IF_ERROR(FinishLast());
  if (const size_t unread = input_->unread_chunk(); unread > 0) {
    ssize_t got = 0;
    do {
      got = ::read(socket_.get(), room.data(), std::min(room.size(), unread));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return HostHasGone();
    const auto size = static_cast<size_t>(got);
    input_->SkipUnread(size);
    return Input{.kind = Input::Kind::kData, .data = absl::string_view(room.data(), size)};
  }
  // No more than tells what comes: what is read here has to be copied.
  MSB_ASSIGN_OR_RETURN(Input input, Next(FrameInput::kHeadBytes));
  if (input.kind != Input::Kind::kData) return input;
  unconsumed_ = std::min(room.size(), input.data.size());
  std::memcpy(room.data(), input.data.data(), unconsumed_);
  input.data = absl::string_view(room.data(), unconsumed_);
  return input;
}

absl::Status SocketChannel::FinishLast() {
  MSB_RETURN_IF_ERROR(Flush());
  if (unconsumed_ > 0) input_->Consume(std::exchange(unconsumed_, 0));
  return absl::OkStatus();
}

absl::StatusOr<FileChannel::Input> SocketChannel::Next(size_t most) {
  while (true) {
    MSB_ASSIGN_OR_RETURN(const std::optional<FrameInput::Item> item, input_->Peek());
    if (!item) {
      if (input_->ReadFrom(socket_.get(), most) == FrameInput::ReadResult::kSome) continue;
      return HostHasGone();
    }
    if (item->field == agent::v1::HostFrame::kDataFieldNumber) {
      unconsumed_ = item->bytes.size();
      return Input{.kind = Input::Kind::kData, .data = item->bytes};
    }
    if (item->field == agent::v1::HostFrame::kStdinFieldNumber) {
      return MakeError(Reason::kAgentProtocol, "stdin for a file operation");
    }
    agent::v1::HostFrame frame;
    if (!frame.ParseFromArray(item->bytes.data(), static_cast<int>(item->bytes.size()))) {
      return MakeError(Reason::kFrameMalformed, "a frame of a file operation cannot be read");
    }
    input_->Consume(item->bytes.size());
    if (frame.has_end()) return Input{.kind = Input::Kind::kEnd};
    if (frame.has_tree_entry()) {
      return Input{.kind = Input::Kind::kTreeEntry,
                   .entry = std::move(*frame.mutable_tree_entry())};
    }
    return MakeError(Reason::kAgentProtocol,
                     absl::StrCat("frame ", int{frame.frame_case()}, " in a file operation"));
  }
}

// A piece takes as long to be written.
void SocketChannel::ExpectMuch() {
  if (PieceBytes() > kMinPieceBytes) SetReceiveWindow(socket_.get(), PieceBytes());
}

// A send of nothing fails once the peer has closed for good.
bool SocketChannel::HostListens() {
  return ::send(socket_.get(), "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) == 0 || errno == EAGAIN;
}

void SocketChannel::Finish(const agent::v1::AgentFrame& last) {
  if (!Send(last).ok() || !Flush().ok()) return;
  ::shutdown(socket_.get(), SHUT_WR);
  char chunk[4096];
  pollfd readable{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  while (::poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(kLinger))) > 0) {
    const ssize_t got = ::recv(socket_.get(), chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return;
  }
}

}  // namespace msb
