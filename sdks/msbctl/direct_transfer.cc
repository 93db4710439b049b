// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/direct_transfer.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"
#include "base/wait_for.h"
#include "proto/guest/guest_error.h"
#include "proto/guest/tree_entry.h"

namespace msb {
namespace {

using msb::agent::v1::AgentFrame;
using msb::agent::v1::HostFrame;
using msb::v1::OpenTransferRequest;
using msb::v1::OpenTransferResponse;

constexpr int kBulkFields[] = {AgentFrame::kDataFieldNumber};
// Read, and written, at once: less than the socket holds, so that it is never empty meanwhile.
constexpr size_t kPieceBytes = size_t{128} << 10;
constexpr size_t kSendTogetherBytes = 64 * 1024;

absl::Status StatusOf(const OpenTransferResponse& response) {
  if (response.reason() != msb::v1::REASON_UNSPECIFIED) {
    return MakeError(ReasonFromNumber(response.reason()), response.message());
  }
  return absl::Status(static_cast<absl::StatusCode>(response.code()), response.message());
}

// A whole response of the daemon, with the descriptors that came along; nullopt when it said
// something else, or nothing.
absl::StatusOr<std::optional<OpenTransferResponse>> ReadResponse(
    int daemon, std::vector<UniqueFd>& descriptors) {
  FrameReader reader;
  std::string buffer(4096, '\0');
  while (true) {
    MSB_RETURN_IF_ERROR(WaitFor(daemon, POLLIN, absl::InfiniteFuture()));
    const absl::StatusOr<size_t> got = ReceiveWithDescriptors(daemon, buffer, descriptors);
    if (!got.ok()) return std::nullopt;
    reader.Append(absl::string_view(buffer).substr(0, *got));
    const absl::StatusOr<std::optional<absl::string_view>> frame = reader.Next();
    if (!frame.ok()) return std::nullopt;
    if (!*frame) continue;
    OpenTransferResponse response;
    if (!response.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size()))) {
      return std::nullopt;
    }
    return response;
  }
}

class DirectUpload final : public Upload {
 public:
  explicit DirectUpload(std::unique_ptr<DirectTransfer> transfer)
      : transfer_(std::move(transfer)) {}

  bool Entry(const msb::v1::TreeEntry& entry) override {
    HostFrame frame;
    *frame.mutable_tree_entry() = TreeEntryToAgent(entry);
    return takes_more_ = GoesOn() && transfer_->Send(frame);
  }
  bool Data(std::string& data) override {
    return takes_more_ = GoesOn() && transfer_->SendData(data);
  }
  // Closing without an `end` is what tells the agent to drop what it has.
  absl::Status Finish(const absl::Status& read) override {
    MSB_RETURN_IF_ERROR(failure_);
    if (!read.ok() && takes_more_) return read;
    if (read.ok()) {
      HostFrame end;
      end.mutable_end();
      transfer_->Send(end);
    }
    while (!done_) MSB_RETURN_IF_ERROR(TakeOne());
    return read;
  }

 private:
  // An error comes before all was sent.
  bool GoesOn() {
    while (failure_.ok() && !done_ && transfer_->HasInput()) failure_ = TakeOne();
    return failure_.ok() && !done_;
  }
  absl::Status TakeOne() {
    MSB_ASSIGN_OR_RETURN(const DirectTransfer::Input input, transfer_->Receive());
    if (input.frame == nullptr || !(input.frame->has_opened() || input.frame->has_done())) {
      return MakeError(Reason::kAgentProtocol, "the sandbox sent what does not answer a copy");
    }
    done_ = input.frame->has_done();
    return absl::OkStatus();
  }

  const std::unique_ptr<DirectTransfer> transfer_;
  absl::Status failure_;
  bool takes_more_ = true;
  bool done_ = false;
};

class DirectDownload final : public Download {
 public:
  explicit DirectDownload(std::unique_ptr<DirectTransfer> transfer)
      : transfer_(std::move(transfer)) {}

  absl::StatusOr<Chunk> Next() override {
    if (done_) return Chunk();
    MSB_ASSIGN_OR_RETURN(const DirectTransfer::Input input, transfer_->Receive());
    if (input.frame == nullptr) return Chunk{.data = input.data};
    done_ = input.frame->has_done();
    if (done_) return Chunk();
    if (!input.frame->has_tree_entry()) {
      return MakeError(Reason::kAgentProtocol, "the sandbox sent what belongs to no tree");
    }
    entry_ = TreeEntryToProto(input.frame->tree_entry());
    return Chunk{.entry = &entry_};
  }

 private:
  const std::unique_ptr<DirectTransfer> transfer_;
  msb::v1::TreeEntry entry_;
  bool done_ = false;
};

}  // namespace

std::unique_ptr<Upload> NewDirectUpload(std::unique_ptr<DirectTransfer> transfer) {
  return std::make_unique<DirectUpload>(std::move(transfer));
}

std::unique_ptr<Download> NewDirectDownload(std::unique_ptr<DirectTransfer> transfer) {
  return std::make_unique<DirectDownload>(std::move(transfer));
}

absl::StatusOr<std::unique_ptr<DirectTransfer>> DirectTransfer::Open(const Endpoint& endpoint,
                                                                     OpenTransferRequest request) {
  if (!endpoint.address.empty()) return nullptr;
  absl::StatusOr<UniqueFd> daemon = ConnectUnix(endpoint.socket, Blocking::kYes);
  if (!daemon.ok()) return nullptr;  // a call says it better
  request.set_protocol_version(msb::agent::v1::WIRE_PROTOCOL_VERSION);
  std::string bytes(1, static_cast<char>(msb::v1::TRANSFER_PREFACE));
  AppendFrame(request.SerializeAsString(), bytes);
  // One that does not know of this may have closed by now: its answer is asked for all the same.
  WriteWithDescriptors(daemon->get(), bytes, {}, absl::InfiniteFuture()).IgnoreError();
  std::vector<UniqueFd> descriptors;
  MSB_ASSIGN_OR_RETURN(const std::optional<OpenTransferResponse> response,
                       ReadResponse(daemon->get(), descriptors));
  if (!response || response->reason() == msb::v1::REASON_AGENT_VERSION) return nullptr;
  MSB_RETURN_IF_ERROR(StatusOf(*response));
  if (descriptors.size() != 1) {
    return MakeError(Reason::kDaemonUnreachable, "the daemon handed over no connection");
  }
  return std::make_unique<DirectTransfer>(*std::move(daemon), std::move(descriptors.front()));
}

DirectTransfer::DirectTransfer(UniqueFd daemon, UniqueFd guest)
    : daemon_(std::move(daemon)),
      guest_(std::move(guest)),
      input_(kBulkFields),
      data_(new char[kPieceBytes]) {}

bool DirectTransfer::Send(const HostFrame& frame) {
  AppendFrame(frame.SerializeAsString(), waiting_);
  return waiting_.size() < kSendTogetherBytes || SendBehindWaiting({});
}

bool DirectTransfer::SendData(absl::string_view data) {
  waiting_ += BulkFrameHeader(HostFrame::kDataFieldNumber, data.size());
  if (waiting_.size() + data.size() < kSendTogetherBytes) {
    waiting_.append(data.data(), data.size());
    return true;
  }
  return SendBehindWaiting(data);
}

// A frame that is not whole is the last one: the agent then has no more to wait for, and says so.
bool DirectTransfer::SendBehindWaiting(absl::string_view data) {
  if (SendBoth(guest_.get(), std::exchange(waiting_, {}), data)) return true;
  ::shutdown(guest_.get(), SHUT_WR);
  return false;
}

bool DirectTransfer::HasInput() const {
  pollfd readable{.fd = guest_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&readable, 1, 0) > 0;
}

absl::StatusOr<DirectTransfer::Input> DirectTransfer::Receive() {
  SendBehindWaiting({});  // or what comes says why not
  if (consumed_by_next_ > 0) input_.Consume(std::exchange(consumed_by_next_, 0));
  while (true) {
    if (input_.chunk_left() > 0) return ReceiveData();
    MSB_ASSIGN_OR_RETURN(const std::optional<FrameInput::Item> item, input_.Peek());
    if (!item) {
      // Behind a large piece of data no more than tells what comes: it would be copied once more.
      const size_t most = last_was_large_ ? FrameInput::kHeadBytes : SIZE_MAX;
      if (input_.ReadFrom(guest_.get(), most) != FrameInput::ReadResult::kSome) return Broken();
      continue;
    }
    if (item->field != FrameInput::kMessage) continue;
    consumed_by_next_ = item->bytes.size();
    last_was_large_ = false;
    if (!frame_.ParseFromArray(item->bytes.data(), static_cast<int>(item->bytes.size()))) {
      return MakeError(Reason::kAgentProtocol, "the sandbox sent what is no message");
    }
    if (frame_.has_error()) return StatusFromGuest(frame_.error());
    return Input{.frame = &frame_};
  }
}

// As much as is sent at once, so that what was a hole, or aligned, in the guest's file is here too.
absl::StatusOr<DirectTransfer::Input> DirectTransfer::ReceiveData() {
  const size_t size = std::min(input_.chunk_left(), kPieceBytes);
  size_t held = 0;
  while (held < size) {
    MSB_ASSIGN_OR_RETURN(const std::optional<FrameInput::Item> read, input_.Peek());
    if (read) {
      const size_t taken = std::min(read->bytes.size(), size - held);
      std::memcpy(data_.get() + held, read->bytes.data(), taken);
      input_.Consume(taken);
      held += taken;
      continue;
    }
    const ssize_t got = ::recv(guest_.get(), data_.get() + held, size - held, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Broken();
    input_.SkipUnread(static_cast<size_t>(got));
    held += static_cast<size_t>(got);
  }
  last_was_large_ = size == kPieceBytes;
  return Input{.data = absl::string_view(data_.get(), size)};
}

// The daemon is told that the connection broke, and knows what became of the sandbox, or will.
absl::Status DirectTransfer::Broken() const {
  ::shutdown(daemon_.get(), SHUT_WR);
  std::vector<UniqueFd> none;
  const absl::StatusOr<std::optional<OpenTransferResponse>> word =
      ReadResponse(daemon_.get(), none);
  if (word.ok() && *word && !StatusOf(**word).ok()) return StatusOf(**word);
  return MakeError(Reason::kFrameTruncated, "the connection with the sandbox broke in the middle");
}

}  // namespace msb
