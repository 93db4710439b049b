// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/direct_transfer.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "supervisor/api/file_convert.h"
#include "supervisor/api/utf8.h"
#include "supervisor/sandbox/guest_operations.h"

namespace msb {
namespace {

namespace api = msb::v1;

// A path, a user and a sandbox's name.
constexpr size_t kMaxRequestBytes = 16 * 1024;

// The operation and the sandbox that it is for.
struct Operation {
  std::string sandbox;
  msb::agent::v1::Open open;
};

absl::StatusOr<Operation> OperationOf(const api::OpenTransferRequest& request) {
  if (request.protocol_version() != msb::agent::v1::WIRE_PROTOCOL_VERSION) {
    return MakeError(
        Reason::kAgentVersion,
        absl::StrCat("the client speaks version ", request.protocol_version(),
                     ", the daemon version ", int{msb::agent::v1::WIRE_PROTOCOL_VERSION}));
  }
  const auto of = [](const auto& operation) {
    return Operation{operation.sandbox(), OpenOf(operation)};
  };
  switch (request.operation_case()) {
    case api::OpenTransferRequest::kReadFile:
      return of(request.read_file());
    case api::OpenTransferRequest::kWriteFile:
      return of(request.write_file());
    case api::OpenTransferRequest::kReadTree:
      return of(request.read_tree());
    case api::OpenTransferRequest::kWriteTree:
      return of(request.write_tree());
    case api::OpenTransferRequest::OPERATION_NOT_SET:
      break;
  }
  return MakeError(Reason::kInvalidArgument, "the request names no operation");
}

std::string FrameOf(const api::OpenTransferResponse& response) {
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
                    [transfer](uint32_t) { transfer->OnReadable(); });
}

DirectTransfer::DirectTransfer(EventLoop& loop, UniqueFd connection, absl::StatusOr<Caller> caller,
                               Registry& registry)
    : loop_(loop),
      connection_(std::move(connection)),
      caller_(std::move(caller)),
      registry_(registry),
      reader_(kMaxRequestBytes) {}

void DirectTransfer::OnReadable() {
  const std::shared_ptr<DirectTransfer> self = shared_from_this();
  const absl::StatusOr<bool> goes_on = ReadRequest();
  if (goes_on.ok() && *goes_on) return;
  if (!goes_on.ok()) Answer(goes_on.status());
  loop_.Unwatch(connection_.get());
  ::shutdown(connection_.get(), SHUT_RDWR);
  absl::MutexLock lock(&mutex_);
  gone_ = true;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Close();
}

// False once the client has closed; an error is told.
absl::StatusOr<bool> DirectTransfer::ReadRequest() {
  char bytes[4096];
  const ssize_t got = ::recv(connection_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;
  absl::string_view rest(bytes, static_cast<size_t>(got));
  if (!std::exchange(has_preface_, true)) rest.remove_prefix(1);
  reader_.Append(rest);
  MSB_ASSIGN_OR_RETURN(const std::optional<absl::string_view> frame, reader_.Next());
  if (!frame && !is_asked_) return true;
  api::OpenTransferRequest request;
  if (std::exchange(is_asked_, true) ||
      !request.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) {
    return MakeError(Reason::kInvalidArgument, "a connection brings one OpenTransferRequest");
  }
  Open(request);
  return true;
}

void DirectTransfer::Open(const api::OpenTransferRequest& request) {
  if (!caller_.ok()) return Answer(caller_.status());
  absl::StatusOr<Operation> operation = OperationOf(request);
  if (!operation.ok()) return Answer(operation.status());
  registry_.With(*caller_, operation->sandbox,
                 [self = shared_from_this(), open = operation->open](Registry::Found found) {
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
}

void DirectTransfer::OnConnected(UniqueFd guest) {
  absl::MutexLock lock(&mutex_);
  if (gone_) return;
  // Nothing was sent before, so there is room; one that does not listen any more is seen to go.
  SendWithDescriptors(connection_.get(), FrameOf({}), {guest.get()}).IgnoreError();
}

void DirectTransfer::Answer(const absl::Status& status) {
  api::OpenTransferResponse response;
  const int reason = static_cast<int>(ReasonOf(status));
  if (api::Reason_IsValid(reason)) response.set_reason(static_cast<api::Reason>(reason));
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
