// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/direct_transfer.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <optional>
#include <string>

#include "base/descriptors.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "msb/v1/files.pb.h"
#include "supervisor/api/close_aside.h"
#include "supervisor/api/utf8.h"
#include "supervisor/sandbox/guest_operations.h"

namespace msb {
namespace {

std::string FrameOf(const msb::v1::OpenTransferResponse& response) {
  std::string frame;
  AppendFrame(response.SerializeAsString(), frame);
  return frame;
}

}  // namespace

absl::Status DirectTransfer::Serve(EventLoop& loop, UniqueFd connection,
                                   absl::StatusOr<Caller> caller, Registry& registry) {
  std::shared_ptr<DirectTransfer> transfer(
      new DirectTransfer(loop, std::move(connection), std::move(caller), registry));
  return loop.Watch(transfer->connection_.get(), EPOLLIN,
                    [transfer](uint32_t events) { transfer->OnEvents(events); });
}

DirectTransfer::DirectTransfer(EventLoop& loop, UniqueFd connection, absl::StatusOr<Caller> caller,
                               Registry& registry)
    : loop_(loop),
      connection_(std::move(connection)),
      caller_(std::move(caller)),
      registry_(registry) {}

DirectTransfer::~DirectTransfer() { CloseAside(std::move(connection_), std::move(passed_)); }

void DirectTransfer::OnEvents(uint32_t events) {
  const std::shared_ptr<DirectTransfer> self = shared_from_this();
  if ((events & EPOLLHUP) == 0) {
    const absl::StatusOr<bool> goes_on = Read();
    if (goes_on.ok() && *goes_on) return;
    if (!goes_on.ok()) Answer(goes_on.status());
    absl::MutexLock lock(&mutex_);
    // A client that has said all, and listens, has lost the guest: what became of it is on its way.
    if (goes_on.ok() && handed_over_ && loop_.Modify(connection_.get(), 0).ok()) {
      guest_is_lost_ = true;
      return BreakStream();
    }
  }
  loop_.Unwatch(connection_.get());
  ::shutdown(connection_.get(), SHUT_RDWR);
  absl::MutexLock lock(&mutex_);
  gone_ = true;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Close();
}

absl::StatusOr<bool> DirectTransfer::Read() {
  std::string bytes(4096, '\0');
  const absl::StatusOr<size_t> got = ReceiveWithDescriptors(connection_.get(), bytes, passed_);
  // Readable without anything to read: out-of-band data, which nobody here has asked for.
  if (!got.ok() || *got == 0) return false;
  if (!passed_.empty()) {
    return MakeError(Reason::kInvalidArgument, "no descriptors are taken");
  }
  MSB_ASSIGN_OR_RETURN(const std::optional<TransferRequestReader::Operation> operation,
                       request_.Take(absl::string_view(bytes).substr(0, *got)));
  if (operation) Open(*operation);
  return true;
}

void DirectTransfer::Open(const TransferRequestReader::Operation& operation) {
  if (!caller_.ok()) return Answer(caller_.status());
  registry_.With(*caller_, operation.sandbox,
                 [self = shared_from_this(), open = operation.open](Registry::Found found) {
                   if (!found.ok()) return self->Answer(found.status());
                   OpenDirectStream(
                       *found, open, self,
                       [self](UniqueFd guest) { self->OnConnected(std::move(guest)); },
                       [self](absl::StatusOr<std::shared_ptr<AgentStream>> stream) {
                         self->Opened(std::move(stream));
                       });
                 });
}

void DirectTransfer::Opened(absl::StatusOr<std::shared_ptr<AgentStream>> stream) {
  if (!stream.ok()) return Answer(stream.status());
  absl::MutexLock lock(&mutex_);
  if (gone_) return (*stream)->Close();
  stream_ = *std::move(stream);
  BreakStream();
}

// Whichever comes last: the stream, or the news.
void DirectTransfer::BreakStream() {
  if (!guest_is_lost_ || stream_ == nullptr) return;
  stream_->Break(MakeError(Reason::kFrameTruncated, "the connection with the guest broke"));
}

void DirectTransfer::OnConnected(UniqueFd guest) {
  absl::MutexLock lock(&mutex_);
  if (gone_) return;
  handed_over_ = SendWithDescriptors(connection_.get(), FrameOf({}), {guest.get()}).ok();
  // The end is an event of the loop's, and sends the client to the calls.
  if (!handed_over_) ::shutdown(connection_.get(), SHUT_RDWR);
}

void DirectTransfer::OnEnd(absl::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    // A daemon that ends is no end of a transfer that has begun.
    if (handed_over_ && ReasonOf(status) == Reason::kDaemonShuttingDown) {
      ::shutdown(connection_.get(), SHUT_RDWR);
      return;
    }
  }
  Answer(status);
}

void DirectTransfer::Answer(const absl::Status& status) {
  msb::v1::OpenTransferResponse response;
  const int reason = static_cast<int>(ReasonOf(status));
  if (msb::v1::Reason_IsValid(reason)) response.set_reason(static_cast<msb::v1::Reason>(reason));
  response.set_code(static_cast<uint32_t>(status.code()));
  response.set_message(Utf8OrReplaced(std::string(status.message())));
  absl::MutexLock lock(&mutex_);
  if (gone_) return;
  SendWithDescriptors(connection_.get(), FrameOf(response), {}).IgnoreError();
  // The client sees the end, closes, and that is seen here.
  ::shutdown(connection_.get(), SHUT_WR);
}

absl::StatusOr<StreamStep> DirectTransfer::OnFrame(msb::agent::v1::AgentFrame, size_t) {
  return MakeError(Reason::kInternalBug, "a frame on a stream without a connection");
}

}  // namespace msb
