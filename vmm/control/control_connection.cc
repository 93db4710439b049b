// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/control/control_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb {
namespace {

constexpr size_t kReceiveBytes = 4096;

}  // namespace

absl::StatusOr<std::shared_ptr<ControlConnection>> ControlConnection::Create(
    EventLoop& loop, UniqueFd socket, ControlTarget& target, EventJournal& journal,
    const ControlLimits& limits, std::function<void()> gone) {
  std::shared_ptr<ControlConnection> connection(
      new ControlConnection(loop, std::move(socket), target, journal, limits, std::move(gone)));
  MSB_RETURN_IF_ERROR(
      loop.Watch(connection->socket_.get(), EPOLLIN,
                 [weak = std::weak_ptr<ControlConnection>(connection)](uint32_t events) {
                   // Held, so that hanging up within does not destroy what runs.
                   if (const auto self = weak.lock(); self != nullptr) self->OnReady(events);
                 }));
  return connection;
}

ControlConnection::ControlConnection(EventLoop& loop, UniqueFd socket, ControlTarget& target,
                                     EventJournal& journal, const ControlLimits& limits,
                                     std::function<void()> gone)
    : loop_(loop),
      socket_(std::move(socket)),
      target_(target),
      journal_(journal),
      limits_(limits),
      gone_(std::move(gone)),
      reader_(limits.request_bytes) {}

ControlConnection::~ControlConnection() {
  gone_ = nullptr;
  HangUp();
}

void ControlConnection::HangUp() {
  if (!socket_.valid()) return;
  loop_.Unwatch(socket_.get());
  socket_.Reset();
  for (const EventJournal::Subscription watch : watches_) journal_.Unsubscribe(watch);
  watches_.clear();
  if (const auto gone = std::exchange(gone_, nullptr); gone != nullptr) gone();
}

void ControlConnection::OnReady(uint32_t events) {
  if ((events & EPOLLOUT) != 0) Send();
  if (!socket_.valid() || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (!Receive()) return HangUp();
  if (const absl::Status handled = HandleFrames(); !handled.ok()) {
    MSB_LOG(kWarning) << "control client is hung up on: " << handled.message();
    HangUp();
  }
}

bool ControlConnection::Receive() {
  std::array<char, kReceiveBytes> buffer;
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  if (got == 0) return false;
  reader_.Append({buffer.data(), static_cast<size_t>(got)});
  return true;
}

absl::Status ControlConnection::HandleFrames() {
  while (socket_.valid()) {
    MSB_ASSIGN_OR_RETURN(const std::optional<absl::string_view> frame, reader_.Next());
    if (!frame.has_value()) break;
    MSB_RETURN_IF_ERROR(HandleRequest(*frame));
  }
  return absl::OkStatus();
}

absl::Status ControlConnection::HandleRequest(absl::string_view frame) {
  Request request;
  if (!request.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return MakeError(Reason::kFrameMalformed, "a frame that is no ControlRequest");
  }
  const uint64_t id = request.id();
  Response response;
  response.set_id(id);
  switch (request.request_case()) {
    case Request::kStatus:
      *response.mutable_status() = target_.status();
      Answer(response);
      break;
    case Request::kStats:
      *response.mutable_stats() = target_.stats();
      Answer(response);
      break;
    case Request::kPause:
      if (TakePlace(id)) target_.Pause(AnswerLater(id));
      break;
    case Request::kResume:
      if (TakePlace(id)) target_.Resume(AnswerLater(id));
      break;
    case Request::kSetBalloonMib:
      AnswerStatus(id, target_.SetBalloon(request.set_balloon_mib()));
      break;
    case Request::kWatch:
      StartWatch(id);
      break;
    case Request::kStop:
      AnswerOk(id);
      target_.RequestStop();
      break;
    case Request::REQUEST_NOT_SET:
      AnswerStatus(id,
                   MakeError(Reason::kInvalidArgument, "a request that this VMM does not know"));
  }
  return absl::OkStatus();
}

bool ControlConnection::TakePlace(uint64_t id) {
  if (under_way_ < limits_.requests_under_way) {
    ++under_way_;
    return true;
  }
  AnswerStatus(
      id, MakeError(Reason::kLimitExceeded, absl::StrCat("more than ", limits_.requests_under_way,
                                                         " requests under way on one connection")));
  return false;
}

ControlTarget::Done ControlConnection::AnswerLater(uint64_t id) {
  return [weak = weak_from_this(), id](const absl::Status& status) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    --self->under_way_;
    self->AnswerStatus(id, status);
  };
}

void ControlConnection::StartWatch(uint64_t id) {
  if (!TakePlace(id)) return;
  for (const msb::vmm::v1::VmEvent& event : journal_.events()) AnswerEvent(id, event);
  if (!socket_.valid()) return;
  watches_.push_back(journal_.Subscribe([this, id](const msb::vmm::v1::VmEvent& event) {
    const auto self = shared_from_this();
    AnswerEvent(id, event);
  }));
}

void ControlConnection::AnswerOk(uint64_t id) { AnswerStatus(id, absl::OkStatus()); }

void ControlConnection::AnswerStatus(uint64_t id, const absl::Status& status) {
  Response response;
  response.set_id(id);
  if (status.ok()) {
    response.mutable_ok();
  } else {
    response.mutable_error()->set_reason(static_cast<int>(ReasonOf(status)));
    response.mutable_error()->set_message(EscapeForLog(status.message()));
  }
  Answer(response);
}

void ControlConnection::AnswerEvent(uint64_t id, const msb::vmm::v1::VmEvent& event) {
  Response response;
  response.set_id(id);
  *response.mutable_event() = event;
  Answer(response);
}

void ControlConnection::Answer(const Response& response) {
  if (!socket_.valid()) return;
  AppendFrame(response.SerializeAsString(), unsent_);
  Send();
  if (unsent_.size() > limits_.unread_answer_bytes) {
    MSB_LOG(kWarning) << "control client is hung up on: it does not read its answers";
    HangUp();
  }
}

void ControlConnection::Send() {
  while (!unsent_.empty()) {
    const ssize_t sent =
        ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (sent < 0) return HangUp();
    unsent_.erase(0, static_cast<size_t>(sent));
  }
  const bool wants_write = !unsent_.empty();
  if (wants_write == wants_write_) return;
  wants_write_ = wants_write;
  const uint32_t events = wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (!loop_.Modify(socket_.get(), events).ok()) HangUp();
}

}  // namespace msb
