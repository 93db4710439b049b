// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/backends/fs/fuse_channel.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

// Holds the headers of many small replies, and the whole of most.
constexpr size_t kInputBytes = 16 * 1024;
constexpr size_t kMaxIovecs = 1024;  // UIO_MAXIOV

using Iovecs = absl::InlinedVector<iovec, 64>;

absl::Status ServerError(absl::string_view what) {
  return MakeError(Reason::kHostError, absl::StrCat("file server: ", what));
}

// Appends `length` bytes of `buffers` from `offset` on; whether all of them found room.
bool AppendIovecs(absl::Span<const absl::Span<uint8_t>> buffers, size_t offset, size_t length,
                  Iovecs& out) {
  for (absl::Span<uint8_t> buffer : buffers) {
    if (length == 0) return true;
    if (offset >= buffer.size()) {
      offset -= buffer.size();
      continue;
    }
    if (out.size() == kMaxIovecs) return false;
    const absl::Span<uint8_t> part = buffer.subspan(offset, length);
    offset = 0;
    out.push_back({part.data(), part.size()});
    length -= part.size();
  }
  return true;
}

size_t TotalBytes(absl::Span<const absl::Span<uint8_t>> buffers) {
  size_t total = 0;
  for (const absl::Span<uint8_t>& buffer : buffers) total += buffer.size();
  return total;
}

void CopyInto(absl::Span<const absl::Span<uint8_t>> buffers, size_t offset,
              absl::Span<const uint8_t> bytes) {
  Iovecs parts;
  AppendIovecs(buffers, offset, bytes.size(), parts);
  for (const iovec& part : parts) {
    std::memcpy(part.iov_base, bytes.data(), part.iov_len);
    bytes.remove_prefix(part.iov_len);
  }
}

bool WouldBlock(const absl::Status& status) { return absl::IsUnavailable(status); }

}  // namespace

absl::StatusOr<std::unique_ptr<FuseChannel>> FuseChannel::Create(EventLoop& loop, UniqueFd socket,
                                                                 Callbacks callbacks) {
  std::unique_ptr<FuseChannel> channel(
      new FuseChannel(loop, std::move(socket), std::move(callbacks)));
  MSB_RETURN_IF_ERROR(loop.Watch(channel->socket_.get(), EPOLLIN,
                                 [raw = channel.get()](uint32_t events) { raw->OnReady(events); }));
  channel->watched_events_ = EPOLLIN;
  return channel;
}

FuseChannel::FuseChannel(EventLoop& loop, UniqueFd socket, Callbacks callbacks)
    : loop_(loop),
      socket_(std::move(socket)),
      callbacks_(std::move(callbacks)),
      entries_(kSlots),
      input_(kInputBytes) {
  free_.reserve(kSlots);
  for (Slot slot = kSlots; slot > 0; --slot) free_.push_back(slot - 1);
}

FuseChannel::~FuseChannel() {
  if (watched_events_ != 0) loop_.Unwatch(socket_.get());
}

FuseChannel::Slot FuseChannel::Submit(Request request) {
  MSB_CHECK(has_room() && !ended());
  const Slot slot = free_.back();
  free_.pop_back();
  Entry& entry = entries_[slot];
  entry.state = State::kQueued;
  entry.guest_unique = request.header.unique;
  // 0 is for what is not answered: a server that answers all the same finds nobody.
  request.header.unique = request.reply.empty() ? 0 : uint64_t{slot} + 1;
  entry.request = std::move(request);
  ++pending_;
  outgoing_.push_back(slot);
  return slot;
}

void FuseChannel::Flush() {
  if (!ended()) Settle(Send());
}

void FuseChannel::OnReady(uint32_t events) {
  absl::Status status;
  if ((events & EPOLLOUT) != 0) status = Send();
  if (status.ok()) status = Receive(kMaxTurnBytes);
  Settle(status);
}

// The end of each turn.
void FuseChannel::Settle(const absl::Status& status) {
  const absl::Status watched = status.ok() ? UpdateWatch() : status;
  if (!watched.ok()) return End(watched);
  if (std::exchange(freed_, false)) callbacks_.on_turn_end();
}

absl::Status FuseChannel::UpdateWatch() {
  const bool unsent = !outgoing_.empty() || !orphan_.empty();
  const uint32_t wanted = EPOLLIN | (unsent ? uint32_t{EPOLLOUT} : 0u);
  if (wanted == watched_events_) return absl::OkStatus();
  MSB_RETURN_IF_ERROR(loop_.Modify(socket_.get(), wanted));
  watched_events_ = wanted;
  return absl::OkStatus();
}

absl::Status FuseChannel::Send() {
  while (!outgoing_.empty() || !orphan_.empty()) {
    MSB_ASSIGN_OR_RETURN(const Progress progress, SendOnce());
    if (progress == Progress::kNone) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<FuseChannel::Progress> FuseChannel::SendOnce() {
  Iovecs parts;
  if (!orphan_.empty()) parts.push_back({orphan_.data(), orphan_.size()});
  size_t skip = front_sent_;
  for (const Slot slot : outgoing_) {
    Request& request = entries_[slot].request;
    if (parts.size() == kMaxIovecs) break;
    if (skip < sizeof(request.header)) {
      uint8_t* const header = reinterpret_cast<uint8_t*>(&request.header);
      parts.push_back({header + skip, sizeof(request.header) - skip});
    }
    const size_t body_skip = skip > sizeof(request.header) ? skip - sizeof(request.header) : 0;
    skip = 0;
    if (!AppendIovecs(request.body, body_skip, request.header.length, parts)) break;
  }
  const msghdr message{.msg_iov = parts.data(), .msg_iovlen = parts.size()};
  const absl::StatusOr<ssize_t> sent = Syscall("send to the file server", [&] {
    return ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  });
  if (WouldBlock(sent.status())) return Progress::kNone;
  if (!sent.ok()) return ServerError(sent.status().message());
  AdvanceSent(static_cast<size_t>(*sent));
  return Progress::kSome;
}

void FuseChannel::AdvanceSent(size_t bytes) {
  const size_t orphaned = std::min(bytes, orphan_.size());
  orphan_.erase(0, orphaned);
  bytes -= orphaned;
  while (bytes > 0) {
    const size_t left = entries_[outgoing_.front()].request.header.length - front_sent_;
    if (bytes < left) {
      front_sent_ += bytes;
      return;
    }
    bytes -= left;
    FinishFront();
  }
}

void FuseChannel::FinishFront() {
  const Slot slot = outgoing_.front();
  outgoing_.pop_front();
  front_sent_ = 0;
  entries_[slot].state = State::kSent;
  entries_[slot].request.body.clear();
  if (entries_[slot].request.reply.empty()) Done(slot, 0);
}

absl::Status FuseChannel::Receive(size_t budget) {
  while (budget > 0) {
    MSB_ASSIGN_OR_RETURN(const size_t received, ReceiveOnce());
    if (received == 0) break;
    budget -= std::min(budget, received);
    MSB_RETURN_IF_ERROR(TakeInput());
  }
  return absl::OkStatus();
}

// The rest of the reply at hand goes straight to where it belongs, what follows into input_.
absl::StatusOr<size_t> FuseChannel::ReceiveOnce() {
  MSB_CHECK(input_begin_ == 0);
  Iovecs parts;
  if (replying_ != kNoSlot && input_end_ == 0) {
    AppendIovecs(entries_[replying_].request.reply, reply_position_,
                 reply_length_ - reply_position_, parts);
    if (parts.size() == kMaxIovecs) parts.pop_back();
  }
  size_t direct = 0;
  for (const iovec& part : parts) direct += part.iov_len;
  parts.push_back({input_.data() + input_end_, input_.size() - input_end_});
  msghdr message{.msg_iov = parts.data(), .msg_iovlen = parts.size()};
  const absl::StatusOr<ssize_t> got = Syscall("receive from the file server", [&] {
    return ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  });
  if (WouldBlock(got.status())) return size_t{0};
  if (!got.ok()) return ServerError(got.status().message());
  if (*got == 0) return ServerError("it has hung up");
  const size_t received = static_cast<size_t>(*got);
  reply_position_ += static_cast<uint32_t>(std::min(received, direct));
  input_end_ += received - std::min(received, direct);
  return received;
}

// Works off input_; what is left of it is the beginning of a header.
absl::Status FuseChannel::TakeInput() {
  while (true) {
    const size_t available = input_end_ - input_begin_;
    if (in_reply_) {
      const size_t part = std::min<size_t>(available, reply_length_ - reply_position_);
      if (replying_ != kNoSlot) {
        CopyInto(entries_[replying_].request.reply, reply_position_,
                 absl::MakeConstSpan(input_).subspan(input_begin_, part));
      }
      reply_position_ += static_cast<uint32_t>(part);
      input_begin_ += part;
      if (reply_position_ < reply_length_) break;
      FinishReply();
      continue;
    }
    FuseReplyHeader header;
    if (available < sizeof(header)) break;
    std::memcpy(&header, input_.data() + input_begin_, sizeof(header));
    input_begin_ += sizeof(header);
    MSB_RETURN_IF_ERROR(BeginReply(header));
  }
  std::copy(input_.begin() + input_begin_, input_.begin() + input_end_, input_.begin());
  input_end_ -= std::exchange(input_begin_, 0);
  return absl::OkStatus();
}

absl::Status FuseChannel::BeginReply(FuseReplyHeader header) {
  if (header.length < sizeof(header)) return ServerError("it sent a reply shorter than its header");
  in_reply_ = true;
  reply_length_ = header.length;
  reply_position_ = sizeof(header);
  replying_ = kNoSlot;
  if (header.unique == 0) return absl::OkStatus();  // to what is not answered
  const Slot slot = static_cast<Slot>(header.unique - 1);
  if (header.unique > kSlots || entries_[slot].state == State::kFree) {
    return ServerError("it answered what nobody asked");
  }
  Entry& entry = entries_[slot];
  if (entry.state == State::kAbandoned) {
    Free(slot);
    freed_ = true;
    return absl::OkStatus();
  }
  if (entry.state == State::kQueued) return ServerError("it answered what it was not asked yet");
  if (header.length > TotalBytes(entry.request.reply)) {
    return ServerError("it sent a reply longer than its buffers");
  }
  replying_ = slot;
  header.unique = entry.guest_unique;
  CopyInto(entry.request.reply, 0,
           absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&header), sizeof(header)));
  return absl::OkStatus();
}

void FuseChannel::FinishReply() {
  in_reply_ = false;
  const Slot slot = std::exchange(replying_, kNoSlot);
  if (slot != kNoSlot) Done(slot, reply_length_);
}

void FuseChannel::Done(Slot slot, uint32_t written) {
  --pending_;
  Free(slot);
  freed_ = true;
  callbacks_.on_done(slot, written);
}

void FuseChannel::Free(Slot slot) {
  Entry& entry = entries_[slot];
  entry.state = State::kFree;
  entry.request.body.clear();
  entry.request.reply.clear();
  free_.push_back(slot);
}

void FuseChannel::Abandon() {
  if (replying_ != kNoSlot) Free(std::exchange(replying_, kNoSlot));  // its rest is thrown away
  const bool half_sent = front_sent_ > 0;
  if (half_sent) KeepRestOfFront();
  for (size_t i = half_sent ? 1 : 0; i < outgoing_.size(); ++i) Free(outgoing_[i]);
  outgoing_.clear();
  front_sent_ = 0;
  pending_ = 0;
  for (Slot slot = 0; slot < kSlots; ++slot) {
    Entry& entry = entries_[slot];
    if (entry.state == State::kFree || entry.state == State::kAbandoned) continue;
    const bool awaited = !entry.request.reply.empty();
    Free(slot);
    if (!awaited) continue;
    free_.pop_back();
    entry.state = State::kAbandoned;
  }
}

// A request that is half outside has to be finished, or nothing behind it would be understood.
void FuseChannel::KeepRestOfFront() {
  const Request& request = entries_[outgoing_.front()].request;
  const size_t in_header = std::min(front_sent_, sizeof(request.header));
  orphan_.append(reinterpret_cast<const char*>(&request.header) + in_header,
                 sizeof(request.header) - in_header);
  Iovecs parts;
  AppendIovecs(request.body, front_sent_ - in_header, request.header.length, parts);
  for (const iovec& part : parts) {
    orphan_.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
}

void FuseChannel::Drain(absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (!ended() && busy()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return End(ServerError(absl::StrCat("no reply in ", absl::FormatDuration(patience))));
    }
    const short events = static_cast<short>(outgoing_.empty() ? POLLIN : POLLIN | POLLOUT);
    pollfd ready{.fd = socket_.get(), .events = events, .revents = 0};
    const int got = ::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (got < 0 && errno != EINTR) return End(ServerError("poll failed"));
    if (got > 0) OnReady((ready.revents & POLLOUT) != 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
}

void FuseChannel::End(const absl::Status& why) {
  loop_.Unwatch(socket_.get());
  watched_events_ = 0;
  socket_.Reset();
  pending_ = 0;
  outgoing_.clear();
  replying_ = kNoSlot;
  freed_ = false;
  callbacks_.on_end(why);
}

}  // namespace msb
