// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/muxer.h"

#include <iterator>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "vmm/devices/virtio/vsock/socket_stream.h"

namespace msb {

using virtio::VsockHeader;
using virtio::VsockOp;

namespace {

// RSTs that wait for the guest before its packets are left in the queue. Its own behaviour alone
// fills it: so many packets without a connection, and no receive buffer for the answers.
constexpr size_t kMaxPendingResets = 256;

// Host ports of clients, as Firecracker numbers them; far from the ports of services. Counted up,
// so that a port comes again only after a thousand million others.
constexpr uint32_t kFirstClientPort = 1u << 30;
constexpr uint32_t kEndClientPort = 1u << 31;

// A restored guest remembers connections of a device that counted before us: begin elsewhere.
uint32_t SomeClientPort() {
  const int64_t now = absl::GetCurrentTimeNanos() / 1000;
  return kFirstClientPort + static_cast<uint32_t>(now % (kEndClientPort - kFirstClientPort));
}

}  // namespace

Muxer::Muxer(EventLoop& loop, uint32_t guest_cid, const VsockLimits& limits, OnReady on_ready)
    : loop_(loop),
      guest_cid_(guest_cid),
      limits_(limits),
      on_ready_(std::move(on_ready)),
      next_host_port_(SomeClientPort()) {}

Muxer::~Muxer() {
  for (Entries* list : {&idle_, &ready_, &flushing_}) {
    for (Entry& entry : *list) loop_.Cancel(entry.timer);
  }
}

// --- The host's side ---

void Muxer::RegisterService(uint32_t host_port, HostService& service) {
  MSB_CHECK(host_port < kFirstClientPort);
  MSB_CHECK(services_.emplace(host_port, &service).second);
}

void Muxer::Connect(UniqueFd socket, uint32_t guest_port) {
  if (connections() >= limits_.max_connections) return;
  const ConnectionKey key{.host_port = FreeHostPort(guest_port), .guest_port = guest_port};
  idle_.emplace_back(Connection::Endpoints{key, guest_cid_, TakeWindow()},
                     std::make_unique<SocketStream>(loop_, std::move(socket)));
  Start(idle_.back());
  on_ready_();
}

// There are fewer connections than ports, so one is free.
uint32_t Muxer::FreeHostPort(uint32_t guest_port) {
  while (true) {
    const uint32_t port = next_host_port_++;
    if (next_host_port_ == kEndClientPort) next_host_port_ = kFirstClientPort;
    if (!by_key_.contains({port, guest_port})) return port;
  }
}

uint32_t Muxer::TakeWindow() {
  const bool small = reserved_window_bytes_ + limits_.window_bytes > limits_.window_budget_bytes;
  const uint32_t window = small ? limits_.small_window_bytes : limits_.window_bytes;
  reserved_window_bytes_ += window;
  return window;
}

// --- The guest's side ---

bool Muxer::CanReceive() const { return resets_.size() < kMaxPendingResets; }

void Muxer::Receive(const TxPacket& packet) {
  const VsockHeader& header = packet.header;
  if (header.src_cid != guest_cid_ || header.dst_cid != virtio::kVsockHostCid ||
      header.type != virtio::VsockType::kStream) {
    return Refuse(header);
  }
  const auto it = by_key_.find({.host_port = header.dst_port, .guest_port = header.src_port});
  if (it == by_key_.end()) {
    return header.op == VsockOp::kRequest ? Accept(header) : Refuse(header);
  }
  if (header.op == VsockOp::kReadWrite) counters_.from_guest_bytes += header.length;
  Entry& entry = *it->second;
  entry.connection.OnPacket(packet);
  Settle(entry);
}

void Muxer::Accept(const VsockHeader& request) {
  const auto service = services_.find(request.dst_port);
  if (service == services_.end() || connections() >= limits_.max_connections) {
    return Refuse(request);
  }
  std::unique_ptr<HostStream> stream = service->second->Accept(request.src_port);
  if (stream == nullptr) return Refuse(request);
  const ConnectionKey key{.host_port = request.dst_port, .guest_port = request.src_port};
  idle_.emplace_back(Connection::Endpoints{key, guest_cid_, TakeWindow()}, std::move(stream),
                     request);
  Start(idle_.back());
}

// Answers as the port that was meant, of whatever type and context id (5.10.6.4.1 asks for it in
// the case of an unknown type). Never answers a RST: two that do would do so for ever.
void Muxer::Refuse(const VsockHeader& header) {
  if (header.op == VsockOp::kReset) return;
  resets_.push_back(VsockHeader{.src_cid = header.dst_cid,
                                .dst_cid = guest_cid_,
                                .src_port = header.dst_port,
                                .dst_port = header.src_port,
                                .length = 0,
                                .type = header.type,
                                .op = VsockOp::kReset,
                                .flags = 0,
                                .buf_alloc = 0,
                                .fwd_cnt = 0});
}

VsockHeader Muxer::TakeReset() {
  const VsockHeader header = resets_.front();
  resets_.pop_front();
  return header;
}

void Muxer::Sent(size_t bytes) {
  counters_.to_guest_bytes += bytes;
  Entry& entry = ready_.front();
  ready_.splice(ready_.end(), ready_, entry.self);
  Settle(entry);
}

void Muxer::DropAll() {
  resets_.clear();
  for (Entries* list : {&idle_, &ready_}) {
    while (!list->empty()) {
      Entry& entry = list->front();
      entry.connection.OnGuestGone();
      Settle(entry);  // takes it off the list: it is flushing or gone
    }
  }
}

// --- The life of an entry ---

void Muxer::Start(Entry& entry) {
  entry.self = std::prev(idle_.end());
  by_key_[entry.connection.endpoints().key] = &entry;
  const absl::Status watched = entry.connection.stream().Watch([this, &entry](uint32_t what) {
    entry.connection.OnStreamReady(what);
    Settle(entry);
    on_ready_();
  });
  if (!watched.ok()) entry.connection.OnStreamReady(HostStream::kGone);  // the host lacks memory
  Settle(entry);
}

void Muxer::Settle(Entry& entry) {
  Connection& connection = entry.connection;
  if (connection.TakeResetOwed()) resets_.push_back(connection.ResetHeader());
  if (connection.state() == Connection::State::kEnded) return Remove(entry);
  if (connection.state() == Connection::State::kFlushing) {
    // Its ports are free again: for the guest it is over.
    if (entry.place != Place::kFlushing) {
      by_key_.erase(connection.endpoints().key);
      MoveTo(Place::kFlushing, entry);
    }
  } else {
    MoveTo(connection.wants_to_send() ? Place::kReady : Place::kIdle, entry);
  }
  SetTimer(entry);
}

// To the end of the list. One that is there already keeps its turn, whatever news it gets.
void Muxer::MoveTo(Place place, Entry& entry) {
  if (entry.place == place) return;
  Entries& to = ListOf(place);
  to.splice(to.end(), ListOf(entry.place), entry.self);
  entry.place = place;
}

void Muxer::Remove(Entry& entry) {
  loop_.Cancel(entry.timer);
  reserved_window_bytes_ -= entry.connection.endpoints().window_bytes;
  if (entry.place != Place::kFlushing) by_key_.erase(entry.connection.endpoints().key);
  ListOf(entry.place).erase(entry.self);
}

void Muxer::SetTimer(Entry& entry) {
  const Connection::Wait wait = entry.connection.waiting_for();
  if (wait == entry.waits_for) return;
  loop_.Cancel(entry.timer);
  entry.waits_for = wait;
  if (wait == Connection::Wait::kNobody) return;
  entry.seen_progress = entry.connection.progress();
  entry.timer = loop_.After(TimeLimit(wait), [this, &entry] { OnTimer(entry); });
}

void Muxer::OnTimer(Entry& entry) {
  const uint32_t progress = entry.connection.progress();
  if (std::exchange(entry.seen_progress, progress) != progress) {
    entry.timer = loop_.After(TimeLimit(entry.waits_for), [this, &entry] { OnTimer(entry); });
    return;
  }
  entry.connection.OnTimeout();
  Settle(entry);
  on_ready_();
}

absl::Duration Muxer::TimeLimit(Connection::Wait wait) const {
  switch (wait) {
    case Connection::Wait::kResponse:
      return limits_.connect_timeout;
    case Connection::Wait::kReset:
      return limits_.shutdown_timeout;
    case Connection::Wait::kGuestReader:
    case Connection::Wait::kHostReader:
      return limits_.linger_timeout;
    case Connection::Wait::kNobody:
      break;
  }
  return absl::InfiniteDuration();
}

Muxer::Entries& Muxer::ListOf(Place place) {
  switch (place) {
    case Place::kIdle:
      return idle_;
    case Place::kReady:
      return ready_;
    case Place::kFlushing:
      return flushing_;
  }
  return idle_;
}

}  // namespace msb
