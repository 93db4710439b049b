// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/connection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace msb {

using virtio::VsockHeader;
using virtio::VsockOp;

namespace {

// For how many bytes a read looks for buffers: one of Linux's own (4 KiB) at first, so that a small
// message makes no effort, then more for as long as the host fills them. The most is what one
// connection may read before it is another's turn: Linux's greatest packet.
constexpr size_t kFirstReadGoal = 4096;
constexpr size_t kMaxReadGoal = 64 << 10;

}  // namespace

Connection::Connection(const Endpoints& endpoints, std::unique_ptr<HostStream> stream)
    : endpoints_(endpoints),
      stream_(std::move(stream)),
      state_(State::kRequesting),
      unwritten_(endpoints.window_bytes),
      read_goal_(kFirstReadGoal) {}

Connection::Connection(const Endpoints& endpoints, std::unique_ptr<HostStream> stream,
                       const VsockHeader& request)
    : Connection(endpoints, std::move(stream)) {
  state_ = State::kAccepting;
  LearnCredit(request);
}

Connection::Wait Connection::waiting_for() const {
  switch (state_) {
    case State::kRequesting:
    case State::kRequested:
      return Wait::kResponse;
    case State::kOpen:
      if (sent_shutdown_ == virtio::kVsockShutdownBoth) return Wait::kReset;
      return host_gone_ ? Wait::kGuestReader : Wait::kNobody;
    case State::kFlushing:
      return Wait::kHostReader;
    case State::kAccepting:
    case State::kEnded:
      return Wait::kNobody;
  }
  return Wait::kNobody;
}

uint32_t Connection::progress() const {
  switch (waiting_for()) {
    case Wait::kGuestReader:
      return sent_;
    case Wait::kHostReader:
      return forwarded_;
    case Wait::kNobody:
    case Wait::kResponse:
    case Wait::kReset:
      return 0;
  }
  return 0;
}

// --- From the guest ---

void Connection::OnPacket(const TxPacket& packet) {
  if (state_ == State::kFlushing || state_ == State::kEnded) return;
  LearnCredit(packet.header);
  switch (packet.header.op) {
    case VsockOp::kResponse:
      return OnResponse();
    case VsockOp::kReset:
      return End(Reset::kNotOwed);
    case VsockOp::kShutdown:
      return OnShutdown(packet.header.flags);
    case VsockOp::kReadWrite:
      return OnData(packet.payload, packet.header.length);
    case VsockOp::kCreditUpdate:
      return;
    case VsockOp::kCreditRequest:
      credit_update_asked_ = true;
      return;
    case VsockOp::kInvalid:
    case VsockOp::kRequest:
      break;
  }
  Abort();
}

void Connection::LearnCredit(const VsockHeader& header) {
  peer_buf_alloc_ = header.buf_alloc;
  peer_fwd_cnt_ = header.fwd_cnt;
  if (Credit() > 0) credit_requested_ = false;
}

void Connection::OnResponse() {
  if (state_ != State::kRequested) return Abort();
  state_ = State::kOpen;
  std::string ok = absl::StrCat("OK ", endpoints_.key.host_port, "\n");
  const iovec line{.iov_base = ok.data(), .iov_len = ok.size()};
  // Nothing else was ever written there, so that it fits if anybody still listens.
  if (stream_->Write({&line, 1}).bytes != ok.size()) Abort();
}

// 5.10.6.5. The flags are permanent: a later packet without one of them takes nothing back.
void Connection::OnShutdown(uint32_t flags) {
  if (state_ != State::kOpen) return Abort();
  const uint32_t added = flags & virtio::kVsockShutdownBoth & ~guest_shutdown_;
  guest_shutdown_ |= added;
  // A RST is the answer that lets the guest forget the connection. What it sent before, the host
  // gets.
  if (guest_shutdown_ == virtio::kVsockShutdownBoth) return End(Reset::kOwed);
  if ((added & virtio::kVsockShutdownReceive) != 0) stream_->CloseRead();
  if ((added & virtio::kVsockShutdownSend) != 0 && unwritten_.empty()) stream_->CloseWrite();
}

void Connection::OnData(absl::Span<const iovec> payload, uint32_t length) {
  if (state_ != State::kOpen || (guest_shutdown_ & virtio::kVsockShutdownSend) != 0) return Abort();
  const uint32_t outstanding = received_ - advertised_;
  if (length > endpoints_.window_bytes - outstanding) return Abort();
  received_ += length;
  if (length == 0) return;
  if (write_ended_) {
    forwarded_ += length;
    return;
  }
  // Behind bytes that wait already, these wait too.
  const size_t written = unwritten_.empty() ? WriteToHost(payload) : 0;
  if (state_ != State::kOpen || written == length) return;
  if (write_ended_) {
    forwarded_ += length - static_cast<uint32_t>(written);
    return;
  }
  unwritten_.Append(payload, written);
  if (!stream_->SetWriteInterest(HostStream::WriteInterest::kOn).ok()) Abort();
}

size_t Connection::WriteToHost(absl::Span<const iovec> pieces) {
  const HostStream::Moved moved = stream_->Write(pieces);
  forwarded_ += static_cast<uint32_t>(moved.bytes);
  if (moved.state == HostStream::State::kEnded) StopWriting();
  if (moved.state == HostStream::State::kBroken) {
    StopWriting();
    Abort();
  }
  return moved.bytes;
}

// --- From the host ---

void Connection::OnStreamReady(uint32_t what) {
  if (state_ == State::kEnded) return;
  if ((what & (HostStream::kInputEnds | HostStream::kGone)) != 0) input_ends_ = true;
  if ((what & HostStream::kReadable) != 0 || input_ends_) readable_ = true;
  if ((what & HostStream::kGone) != 0) return OnHostGone();
  if ((what & HostStream::kWritable) != 0) Flush();
}

void Connection::OnHostGone() {
  host_gone_ = true;
  switch (state_) {
    case State::kRequesting:  // the guest has never heard of it
      return End(Reset::kNotOwed);
    case State::kRequested:
    case State::kAccepting:
      return End(Reset::kOwed);
    case State::kOpen:
      return StopWriting();
    case State::kFlushing:
    case State::kEnded:
      state_ = State::kEnded;
  }
}

// Writes once: what does not fit now is reported writable later.
void Connection::Flush() {
  if (unwritten_.empty()) return;
  const std::array<iovec, 2> pieces = unwritten_.Front();
  const size_t written = WriteToHost({pieces.data(), pieces[1].iov_len > 0 ? 2u : 1u});
  if (unwritten_.empty()) return;  // the write found the host gone
  unwritten_.Consume(written);
  if (unwritten_.empty()) OnFlushed();
}

void Connection::OnFlushed() {
  if (state_ == State::kFlushing) {
    state_ = State::kEnded;
    return;
  }
  if (state_ != State::kOpen) return;
  if ((guest_shutdown_ & virtio::kVsockShutdownSend) != 0) stream_->CloseWrite();
  if (!stream_->SetWriteInterest(HostStream::WriteInterest::kOff).ok()) Abort();
}

// The host reads no more, though it may still have sent something. The guest is told by a SHUTDOWN,
// and what it sends until it knows is dropped.
void Connection::StopWriting() {
  write_ended_ = true;
  forwarded_ += static_cast<uint32_t>(unwritten_.size());
  unwritten_.Clear();
  if (state_ == State::kFlushing) state_ = State::kEnded;
}

// --- Ends ---

void Connection::OnTimeout() {
  if (state_ == State::kFlushing) {
    state_ = State::kEnded;
  } else {
    Abort();
  }
}

void Connection::Abort() { End(state_ == State::kRequesting ? Reset::kNotOwed : Reset::kOwed); }

void Connection::End(Reset reset) {
  if (state_ == State::kFlushing || state_ == State::kEnded) {
    state_ = State::kEnded;
    return;
  }
  reset_owed_ = reset == Reset::kOwed;
  state_ = unwritten_.empty() ? State::kEnded : State::kFlushing;
  if (state_ == State::kFlushing) stream_->CloseRead();
}

// --- To the guest ---

bool Connection::wants_to_send() const {
  switch (state_) {
    case State::kRequesting:
    case State::kAccepting:
      return true;
    case State::kOpen:
      return ShutdownToSend() != sent_shutdown_ || CreditUpdateDue() || CreditRequestDue() ||
             ReadGoal() > 0;
    case State::kRequested:
    case State::kFlushing:
    case State::kEnded:
      return false;
  }
  return false;
}

std::optional<VsockHeader> Connection::TakeControl() {
  if (state_ == State::kRequesting) {
    state_ = State::kRequested;
    return Header(VsockOp::kRequest);
  }
  if (state_ == State::kAccepting) {
    state_ = State::kOpen;
    return Header(VsockOp::kResponse);
  }
  if (state_ != State::kOpen) return std::nullopt;
  if (const uint32_t flags = ShutdownToSend(); flags != sent_shutdown_) {
    sent_shutdown_ = flags;
    VsockHeader header = Header(VsockOp::kShutdown);
    header.flags = flags;
    return header;
  }
  if (CreditRequestDue()) {
    credit_requested_ = true;
    return Header(VsockOp::kCreditRequest);
  }
  // Data carries our counters too, and waits for no update of its own.
  if (CreditUpdateDue() && ReadGoal() == 0) return Header(VsockOp::kCreditUpdate);
  return std::nullopt;
}

size_t Connection::ReadGoal() const {
  if (state_ != State::kOpen || !CanRead()) return 0;
  return std::min<size_t>(read_goal_, Credit());
}

size_t Connection::ReadLimit() const { return std::min<size_t>(kMaxReadGoal, Credit()); }

size_t Connection::ReadInto(absl::Span<const iovec> room) {
  const size_t offered = TotalBytes(room);
  const HostStream::Moved moved = stream_->Read(room);
  sent_ += static_cast<uint32_t>(moved.bytes);
  switch (moved.state) {
    case HostStream::State::kOpen:
      // A stream that fills less than it could is empty, unless its end is still to be read.
      // (Passed descriptors cut a read short too: whoever sends such waits for its own next byte.)
      if (moved.bytes < offered && !input_ends_) readable_ = false;
      read_goal_ = moved.bytes < std::min(offered, read_goal_)
                       ? kFirstReadGoal
                       : std::min(2 * read_goal_, kMaxReadGoal);
      break;
    case HostStream::State::kWouldBlock:
      readable_ = false;
      break;
    case HostStream::State::kEnded:
      readable_ = false;
      read_ended_ = true;
      break;
    case HostStream::State::kBroken:
      Abort();
      break;
  }
  return moved.bytes;
}

VsockHeader Connection::DataHeader() { return Header(VsockOp::kReadWrite); }

bool Connection::CanRead() const {
  return readable_ && !read_ended_ && (guest_shutdown_ & virtio::kVsockShutdownReceive) == 0;
}

// 5.10.6.3. A guest that claims to have had more than we sent gets nothing until it tells the
// truth.
uint32_t Connection::Credit() const {
  const uint32_t in_flight = sent_ - peer_fwd_cnt_;
  return in_flight >= peer_buf_alloc_ ? 0 : peer_buf_alloc_ - in_flight;
}

uint32_t Connection::ShutdownToSend() const {
  // A host that is gone has its whole end in one packet, behind what it has left.
  if (host_gone_ && ReadGoal() > 0) return sent_shutdown_;
  uint32_t flags = 0;
  // A guest that takes nothing more is not read for: there the host's end is not seen by reading.
  const bool unwanted = (guest_shutdown_ & virtio::kVsockShutdownReceive) != 0;
  if (read_ended_ || (unwanted && host_gone_)) flags |= virtio::kVsockShutdownSend;
  if (write_ended_) flags |= virtio::kVsockShutdownReceive;
  return flags;
}

// At half of what the guest will have under way: one packet for several of its own, and it still
// has the other half. That is less than the window where its own buffer is smaller: Linux never
// sends ahead of more than it would take itself, and never asks for credit.
bool Connection::CreditUpdateDue() const {
  if (credit_update_asked_) return true;
  const uint32_t unknown = forwarded_ - advertised_;
  return unknown > 0 && unknown >= std::min(endpoints_.window_bytes, peer_buf_alloc_) / 2;
}

// Once each time the credit runs out, for guests that do not give it back unasked.
bool Connection::CreditRequestDue() const {
  return !credit_requested_ && CanRead() && Credit() == 0;
}

VsockHeader Connection::Header(VsockOp op) {
  advertised_ = forwarded_;
  credit_update_asked_ = false;
  return VsockHeader{.src_cid = virtio::kVsockHostCid,
                     .dst_cid = endpoints_.guest_cid,
                     .src_port = endpoints_.key.host_port,
                     .dst_port = endpoints_.key.guest_port,
                     .length = 0,
                     .type = virtio::VsockType::kStream,
                     .op = op,
                     .flags = 0,
                     .buf_alloc = endpoints_.window_bytes,
                     .fwd_cnt = forwarded_};
}

VsockHeader Connection::ResetHeader() const {
  return VsockHeader{.src_cid = virtio::kVsockHostCid,
                     .dst_cid = endpoints_.guest_cid,
                     .src_port = endpoints_.key.host_port,
                     .dst_port = endpoints_.key.guest_port,
                     .length = 0,
                     .type = virtio::VsockType::kStream,
                     .op = VsockOp::kReset,
                     .flags = 0,
                     .buf_alloc = 0,
                     .fwd_cnt = 0};
}

}  // namespace msb
