// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/tcp_flow.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"

namespace msb::net {
namespace {

// Of one turn for one connection.
constexpr int kSegmentsPerTurn = 16;
// With something under way, a small remainder of the window waits for the rest.
constexpr uint32_t kSmallRoom = 8 << 10;
// Of a hello that no policy asks for, since nothing ends one that never does. Clients send less; a
// longer one counts as one that cannot be read.
constexpr size_t kUninspectedHelloBytes = 8 << 10;

// RFC 6528: not to be guessed by a third party.
uint32_t RandomSequence() {
  uint32_t value = 0;
  [[maybe_unused]] const ssize_t got = ::getrandom(&value, sizeof(value), 0);
  return value;
}

void SetOption(const UniqueFd& socket, int level, int option, int value) {
  ::setsockopt(socket.get(), level, option, &value, sizeof(value));
}

// The next close sends a reset.
void ResetOnClose(const UniqueFd& socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

}  // namespace

TcpFlow::TcpFlow(Environment& environment, const TcpEnds& ends, FlowLabel label, OnDone on_done)
    : environment_(environment),
      label_(std::move(label)),
      on_done_(std::move(on_done)),
      connection_(ends, environment.mtu, RandomSequence(),
                  [this](const TcpHeader& header, Payload payload) {
                    environment_.down.Take(payload.size, absl::Now());
                    environment_.link->Send(
                        BuildTcp(environment_.link_addresses, header, std::move(payload)));
                  }),
      active_(absl::Now()) {}

TcpFlow::~TcpFlow() {
  if (timer_.has_value()) environment_.loop.Cancel(*timer_);
  if (socket_.valid() && watched_ != 0) environment_.loop.Unwatch(socket_.get());
}

// --- begin ---

void TcpFlow::Connect(const TcpSegment& syn, const IpAddress& target,
                      std::vector<std::string> names, Inspection inspection) {
  connection_.OnSyn(syn);
  inspection_ = inspection;
  target_ = target;
  names_ = std::move(names);
  hello_.state = ClientHello::State::kNeedsMore;
  socket_ = UniqueFd(
      ::socket(target.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.valid()) return Break(std::strerror(errno));
  SetOption(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
  const SocketAddress address = SocketAddress::From(target, connection_.ends().peer_port);
  // Within this host it is connected at once.
  if (::connect(socket_.get(), address.get(), address.size) == 0) return OnHostConnected();
  if (errno != EINPROGRESS) return Break(std::strerror(errno));
  want_write_ = true;
  UpdateWatch();
}

void TcpFlow::ConnectToResolver(const TcpSegment& syn, UniqueFd socket) {
  connection_.OnSyn(syn);
  to_resolver_ = true;
  socket_ = std::move(socket);
  OnHostConnected();
}

void TcpFlow::ConnectThrough(const TcpSegment& syn, UniqueFd socket) {
  connection_.OnSyn(syn);
  through_ = true;
  target_ = connection_.ends().peer;
  socket_ = std::move(socket);
  want_read_ = true;
  UpdateWatch();
}

void TcpFlow::AcceptMember(UniqueFd client, MemberSlot slot) {
  through_ = true;
  slot_ = std::move(slot);
  Accept(std::move(client));
}

void TcpFlow::Accept(UniqueFd client) {
  state_ = State::kConnectingGuest;
  socket_ = std::move(client);
  SetOption(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
  connection_.Connect();
  ArmTimer();
}

void TcpFlow::OnHostConnected() {
  state_ = State::kOpen;
  want_write_ = false;
  want_read_ = true;
  connection_.Accept();
  opened_ = true;
  environment_.audit.Opened(label_);
  UpdateWatch();
  ArmTimer();
}

// --- guest to host ---

void TcpFlow::OnSegment(const TcpSegment& segment) {
  if (done_) return;
  active_ = absl::Now();
  if (state_ == State::kConnectingHost) {
    // The SYN again: the host has not answered yet. A reset: the guest has given up.
    if ((segment.flags & kTcpRst) != 0) End("given up by the guest");
    return;
  }
  const TcpConnection::Received received = connection_.OnSegment(segment);
  if (received.reset) {
    ResetOnClose(socket_);
    return End(state_ == State::kConnectingGuest ? "refused by the guest" : "reset by the guest");
  }
  if (received.established && state_ == State::kConnectingGuest) {
    state_ = State::kOpen;
    if (through_ && ::send(socket_.get(), "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
      return Break("the member has given up");
    }
    want_read_ = opened_ = true;
    environment_.audit.Opened(label_);
  }
  if (!received.data.empty() || received.finished) TakeFromGuest(received.data, received.finished);
  if (done_) return;
  if (received.can_send && !host_finished_) {
    want_read_ = true;
    ReadFromHost();
  }
  if (done_) return;
  UpdateWatch();
  ArmTimer();
  EndIfFinished();
}

void TcpFlow::TakeFromGuest(Bytes data, bool finished) {
  bytes_up_ += data.size();
  guest_finished_ = guest_finished_ || finished;
  if (!environment_.secrets.empty() && !handed_over_) TellPlaceholders(data);
  if (hello_.state == ClientHello::State::kNeedsMore) ReadHello(data);
  if (!inspection_.any()) {
    WriteToHost(data);
  } else {
    held_.Append(data);
    Inspect();
  }
  if (done_) return;
  FinishHostIfDrained();
}

void TcpFlow::ReadHello(Bytes data) {
  hello_reader_.Read(data);
  const bool too_long = !inspection_.any() && hello_reader_.held_bytes() > kUninspectedHelloBytes;
  if (guest_finished_ || too_long) hello_reader_.GiveUp();
  hello_ = hello_reader_.hello();
  const std::string& name = hello_.server_name;
  if (!name.empty() && environment_.judge.IsKnown(target_, name, absl::Now())) {
    names_.push_back(name);
  }
}

// Nothing goes out before the name is known, or it is clear that there is none to come.
void TcpFlow::Inspect() {
  if (hello_.state == ClientHello::State::kNeedsMore) {
    if (!held_.empty() && hello_began_ == absl::InfiniteFuture()) hello_began_ = absl::Now();
    return connection_.SetHeld(static_cast<uint32_t>(held_.size()));
  }
  const Inspection asked = std::exchange(inspection_, Inspection());
  hello_began_ = absl::InfiniteFuture();
  if (asked.policy && hello_.state != ClientHello::State::kNotTls && !InspectName()) return;
  if (asked.secrets && hello_.state == ClientHello::State::kWhole &&
      environment_.secrets.Serves(hello_.server_name, connection_.ends().peer_port)) {
    HandOver(hello_.server_name);
    if (done_) return;
  }
  FlushToHost();
}

Judge::Decision TcpFlow::DecideByName() const {
  const TcpEnds& ends = connection_.ends();
  return environment_.judge.DecideHello(ends.peer, ends.peer_port, hello_, absl::Now(), names_);
}

Judge::Decision TcpFlow::DecideByAddress() const {
  const TcpEnds& ends = connection_.ends();
  return environment_.judge.Decide(Direction::kOut, Protocol::kTcp, ends.peer, ends.peer_port,
                                   absl::Now(), names_);
}

bool TcpFlow::MayGoOn() const {
  if (!hello_.server_name.empty()) return DecideByName().verdict.action == Action::kAllow;
  const Judge::Decision decision = DecideByAddress();
  if (decision.verdict.action == Action::kDeny) return false;
  const bool said_none =
      hello_.state == ClientHello::State::kNotTls || hello_.state == ClientHello::State::kNeedsMore;
  if (!decision.checks_name || said_none) return true;
  return DecideByName().verdict.action == Action::kAllow;
}

void TcpFlow::InspectAnew() {
  if (hello_.state != ClientHello::State::kNeedsMore) return;
  inspection_.policy = DecideByAddress().checks_name;
  if (held_.empty()) return;
  if (!inspection_.any()) {
    hello_began_ = absl::InfiniteFuture();
    return FlushToHost();
  }
  // What the host was too slow for waits for the verdict, too.
  want_write_ = false;
  UpdateWatch();
  hello_began_ = std::min(hello_began_, absl::Now());
}

bool TcpFlow::InspectName() {
  const Judge::Decision decision = DecideByName();
  if (decision.verdict.action == Action::kDeny) {
    FlowLabel denied = label_;
    denied.rule = decision.verdict.rule;
    denied.name = decision.name;
    environment_.audit.Denied(denied, decision.detail);
    Break(decision.detail);
    return false;
  }
  if (label_.name.empty()) label_.name = decision.name;
  return true;
}

void TcpFlow::HandOver(const std::string& name) {
  label_.name = name;
  const auto refuse = [this](absl::string_view why) {
    environment_.audit.Failed(label_, why);
    Break(why);
  };
  if (!environment_.judge.IsKnown(target_, name, absl::Now())) {
    return refuse("the name in TLS was never resolved to this address");
  }
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
    return refuse(std::strerror(errno));
  }
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  const absl::StatusOr<uint64_t> number = environment_.secrets.HandOver(
      {label_, name, connection_.ends().peer_port}, theirs.get(), socket_.get());
  if (!number.ok()) return refuse(number.status().message());
  handed_over_ = *number;
  if (watched_ != 0) environment_.loop.Unwatch(socket_.get());
  watched_ = 0;
  socket_ = std::move(ours);
  UpdateWatch();
}

// A placeholder that leaves outside of TLS goes nowhere that a secret may go.
void TcpFlow::TellPlaceholders(Bytes data) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data.data()), data.size());
  for (const std::string& secret : environment_.secrets.PlaceholdersIn(bytes)) {
    if (std::find(told_placeholders_.begin(), told_placeholders_.end(), secret) !=
        told_placeholders_.end()) {
      continue;
    }
    told_placeholders_.push_back(secret);
    environment_.audit.Secret(label_, secret, Audit::SecretUse::kWithheld, "sent in the clear");
  }
}

void TcpFlow::WriteToHost(Bytes data) {
  if (held_.empty() && !data.empty()) {
    ssize_t sent;
    do {
      sent = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN) return Break(std::strerror(errno));
    data.remove_prefix(sent < 0 ? 0 : static_cast<size_t>(sent));
  }
  if (data.empty()) return;
  held_.Append(data);
  connection_.SetHeld(static_cast<uint32_t>(held_.size()));
  want_write_ = true;
  UpdateWatch();
}

void TcpFlow::FlushToHost() {
  while (!held_.empty()) {
    const absl::string_view waiting = held_.waiting();
    const ssize_t sent =
        ::send(socket_.get(), waiting.data(), waiting.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return Break(std::strerror(errno));
    if (sent < 0) break;
    held_.Take(static_cast<size_t>(sent));
  }
  want_write_ = !held_.empty();
  connection_.SetHeld(static_cast<uint32_t>(held_.size()));
  connection_.Acknowledge();
  FinishHostIfDrained();
  UpdateWatch();
}

void TcpFlow::FinishHostIfDrained() {
  if (!guest_finished_ || host_shut_ || !held_.empty() || inspection_.any()) return;
  host_shut_ = true;
  ::shutdown(socket_.get(), SHUT_WR);
}

// --- host to guest ---

void TcpFlow::OnSocket(uint32_t events) {
  active_ = absl::Now();
  if (state_ == State::kConnectingHost && through_) return OnMemberAnswer();
  if (state_ == State::kConnectingHost) {
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Break(std::strerror(error));
    return OnHostConnected();
  }
  if ((events & EPOLLOUT) != 0 && want_write_) FlushToHost();
  if (done_) return;
  if (want_read_ && !host_finished_) ReadFromHost();
  if (done_) return;
  UpdateWatch();
  ArmTimer();
  EndIfFinished();
}

void TcpFlow::OnMemberAnswer() {
  char accepted;
  const ssize_t got = ::recv(socket_.get(), &accepted, 1, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got != 1) return Break("refused by the member");
  OnHostConnected();
}

void TcpFlow::ReadFromHost() {
  if (state_ != State::kOpen || !connection_.established()) {
    want_read_ = false;
    return;
  }
  for (int i = 0; i < kSegmentsPerTurn && !done_ && want_read_ && !host_finished_; ++i) {
    if (!ReadSegment()) return;
  }
}

// False when there is nothing more to read for now.
bool TcpFlow::ReadSegment() {
  if (environment_.WaitForRoom()) {
    wait_for_link_ = true;
    want_read_ = false;
    return false;
  }
  const uint32_t room = std::min(connection_.SendRoom(), connection_.segment_bytes());
  if (room == 0 ||
      (room < std::min(kSmallRoom, connection_.segment_bytes()) && connection_.in_flight() > 0)) {
    want_read_ = false;  // until the guest has taken something
    return false;
  }
  auto block = std::make_shared_for_overwrite<uint8_t[]>(room);
  ssize_t got;
  do {
    got = ::recv(socket_.get(), block.get(), room, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return false;
  if (got < 0) {
    Break(std::strerror(errno));
    return false;
  }
  if (got == 0) {
    host_finished_ = true;
    want_read_ = false;
    connection_.Finish();
    return false;
  }
  const auto size = static_cast<uint32_t>(got);
  bytes_down_ += size;
  // A little of a large block would keep all of it until the guest has acknowledged.
  Payload payload =
      size < room / 4 ? MakePayload({block.get(), size}) : Payload{std::move(block), 0, size};
  connection_.Send(std::move(payload));
  return size == room;
}

void TcpFlow::OnDrained() {
  if (done_ || !std::exchange(wait_for_link_, false)) return;
  want_read_ = true;
  ReadFromHost();
  if (done_) return;
  UpdateWatch();
  ArmTimer();
}

// --- time, end ---

void TcpFlow::UpdateWatch() {
  if (done_ || !socket_.valid()) return;
  const uint32_t wanted = (want_read_ && !host_finished_ ? uint32_t{EPOLLIN} : 0) |
                          (want_write_ ? uint32_t{EPOLLOUT} : 0);
  if (wanted == watched_) return;
  absl::Status status;
  if (watched_ == 0) {
    status =
        environment_.loop.Watch(socket_.get(), wanted, [this](uint32_t ready) { OnSocket(ready); });
  } else if (wanted == 0) {
    environment_.loop.Unwatch(socket_.get());
  } else {
    status = environment_.loop.Modify(socket_.get(), wanted);
  }
  watched_ = status.ok() ? wanted : 0;
  if (!status.ok()) Break(status.message());
}

void TcpFlow::ArmTimer() {
  if (timer_.has_value() || done_) return;
  const std::optional<absl::Duration> wait = connection_.TimeToRetransmit();
  if (!wait.has_value()) return;
  timer_ = environment_.loop.After(*wait, [this] {
    timer_.reset();
    // A link that is full has not lost anything: the guest, perhaps paused, does not take it.
    if (!connection_.TakeProgress() && !environment_.link->congested()) connection_.OnTimer();
    ArmTimer();
  });
}

bool TcpFlow::ExpiredAt(absl::Time now) const {
  const FlowLimits& limits = environment_.limits;
  if (now - hello_began_ > limits.hello_timeout) return true;
  if (connecting()) return now - active_ > limits.connect_timeout;
  const bool half_closed = guest_finished_ || host_finished_;
  return now - active_ > (half_closed ? limits.half_closed_idle : limits.tcp_idle);
}

void TcpFlow::EndIfFinished() {
  if (connection_.finished() && host_shut_) End("");
}

void TcpFlow::Break(absl::string_view why) {
  const std::string reason(why);
  if (state_ == State::kConnectingHost) environment_.audit.Failed(label_, reason);
  connection_.Reset();
  if (socket_.valid()) ResetOnClose(socket_);
  End(reason);
}

void TcpFlow::Abort(absl::string_view why) {
  if (done_) return;
  on_done_ = nullptr;
  Break(why);
}

void TcpFlow::End(absl::string_view detail) {
  if (std::exchange(done_, true)) return;
  if (socket_.valid() && watched_ != 0) environment_.loop.Unwatch(socket_.get());
  watched_ = 0;
  socket_.Reset();
  if (handed_over_.has_value()) environment_.secrets.Forget(*handed_over_);
  if (opened_) {
    environment_.audit.Closed(label_, bytes_up_, bytes_down_, detail);
  } else if (state_ == State::kConnectingGuest) {
    environment_.audit.Failed(label_, detail);
  }
  if (on_done_ != nullptr) std::exchange(on_done_, nullptr)(*this);
}

}  // namespace msb::net
