// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/connection.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/link/wire.h"

namespace msb {
namespace {

using agent::v1::HostFrame;

}  // namespace

Connection::Connection(EventLoop& loop, UniqueFd socket, const Opener& opener,
                       std::function<void()> on_closed)
    : loop_(loop), socket_(std::move(socket)), opener_(opener), on_closed_(std::move(on_closed)) {}

Connection::~Connection() {
  operation_.reset();
  if (linger_) loop_.Cancel(*linger_);
  if (socket_.valid()) loop_.Unwatch(socket_.get());
}

absl::Status Connection::Start() {
  events_ = EPOLLIN;
  return loop_.Watch(socket_.get(), events_, [this](uint32_t events) { OnEvents(events); });
}

void Connection::OnEvents(uint32_t events) {
  if ((events & EPOLLERR) != 0) return HostGone();
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0) ReadInput();
  if ((events & EPOLLOUT) == 0 || !socket_.valid() || output_ended_) return;
  Flush();
  if (open() && operation_ != nullptr) operation_->OnOutputRoom();
}

void Connection::ReadInput() {
  if (finishing_) return DiscardInput();
  if (input_ended_) return OnEndOfInput();
  if (input_paused_) return HostGone();  // no input was asked for: it is a hang-up
  switch (input_->ReadFrom(socket_.get())) {
    case FrameInput::ReadResult::kWouldBlock:
      return;
    case FrameInput::ReadResult::kSome:
      return OfferInput();
    case FrameInput::ReadResult::kEnd:
      return OnEndOfInput();
    case FrameInput::ReadResult::kBroken:
      return HostGone();
  }
}

void Connection::OfferInput() {
  if (operation_ == nullptr) {
    const absl::Status opened = OpenOperation();
    if (!opened.ok()) return Fail(opened);
  }
  if (operation_ == nullptr || !open()) return;
  const absl::Status taken = operation_->OnInput(*input_);
  if (!taken.ok() && open()) Fail(taken);
}

absl::Status Connection::OpenOperation() {
  MSB_ASSIGN_OR_RETURN(const std::optional<FrameInput::Item> item, input_->Peek());
  if (!item) return absl::OkStatus();
  HostFrame frame;
  if (item->field != FrameInput::kMessage ||
      !frame.ParseFromArray(item->bytes.data(), static_cast<int>(item->bytes.size()))) {
    return MakeError(Reason::kFrameMalformed, "the first frame is none of the agent's protocol");
  }
  if (!frame.has_open()) {
    return MakeError(Reason::kAgentProtocol, "the first frame opens no operation");
  }
  if (frame.open().protocol_version() != agent::v1::WIRE_PROTOCOL_VERSION) {
    return MakeError(Reason::kAgentVersion,
                     absl::StrCat("the host speaks version ", frame.open().protocol_version(),
                                  ", the agent version ", int{agent::v1::WIRE_PROTOCOL_VERSION}));
  }
  input_->Consume(item->bytes.size());
  MSB_ASSIGN_OR_RETURN(operation_, opener_(*this, frame.open()));
  return absl::OkStatus();
}

// The host sends no more. Whether it still listens, a send of nothing tells: it fails once the host
// has closed for good. Until then every change of the connection's state asks again.
void Connection::OnEndOfInput() {
  const bool listens = ::send(socket_.get(), "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) == 0;
  if (operation_ == nullptr || !listens) return HostGone();
  input_ended_ = true;
  UpdateEvents();
}

void Connection::Flush() {
  if (!socket_.valid() || output_ended_) return;
  if (output_.Flush(socket_.get()) == FrameOutput::FlushResult::kGone) return HostGone();
  if (!finishing_ || !output_.empty()) return UpdateEvents();
  output_ended_ = true;
  ::shutdown(socket_.get(), SHUT_WR);
  linger_ = loop_.After(kLinger, [this] {
    linger_.reset();
    Close();
  });
  if (input_ended_) return Close();
  UpdateEvents();
}

void Connection::Finish() {
  if (finishing_) return;
  finishing_ = true;
  Flush();
}

void Connection::Fail(const absl::Status& error) {
  if (finishing_ || !socket_.valid()) return;
  output_.Append(ErrorFrame(error));
  Finish();
}

void Connection::PauseInput() {
  input_paused_ = true;
  UpdateEvents();
}

void Connection::ResumeInput() {
  if (!input_paused_ || !socket_.valid()) return;
  input_paused_ = false;
  UpdateEvents();
  OfferInput();
}

void Connection::UpdateEvents() {
  if (!socket_.valid()) return;
  uint32_t events = 0;
  if (!output_ended_ && !output_.empty()) events |= EPOLLOUT;
  if (output_ended_) {
    events |= EPOLLIN;
  } else if (input_ended_) {
    events |= EPOLLIN | EPOLLRDHUP | EPOLLET;
  } else if (!input_paused_) {
    events |= EPOLLIN;
  }
  if (events == events_) return;
  events_ = events;
  if (!loop_.Modify(socket_.get(), events).ok()) HostGone();
}

// Behind the operation's end: until both sides have ended the stream.
void Connection::DiscardInput() {
  char chunk[4096];
  const ssize_t got = ::recv(socket_.get(), chunk, sizeof(chunk), MSG_DONTWAIT);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  if (got < 0 || output_ended_) return Close();
  input_ended_ = true;
  UpdateEvents();
}

void Connection::HostGone() {
  if (!socket_.valid()) return;
  Close();
  if (operation_ != nullptr && !finishing_) operation_->OnHostGone();
}

void Connection::Close() {
  if (!socket_.valid()) return;
  if (linger_) loop_.Cancel(*linger_);
  linger_.reset();
  loop_.Unwatch(socket_.get());
  socket_.Reset();
  on_closed_();
}

UniqueFd Connection::ReleaseSocket() {
  loop_.Unwatch(socket_.get());
  ::fcntl(socket_.get(), F_SETFL, 0);
  UniqueFd socket = std::move(socket_);
  on_closed_();
  return socket;
}

}  // namespace msb
