// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr size_t kReadBytes = 16 << 10;  // a TLS record
// Of one turn for one connection.
constexpr int kRoundsPerTurn = 16;

}  // namespace

Relay::Relay(EventLoop& loop, const Tls& tls, const SecretsLimits& limits, RelayHost host,
             std::shared_ptr<const SecretTable> table, Sockets sockets, Handlers handlers)
    : loop_(loop),
      tls_(tls),
      handshake_timeout_(limits.handshake_timeout),
      host_(std::move(host)),
      table_(std::move(table)),
      substitutes_(table_->For(host_.name, host_.port)),
      handlers_(std::move(handlers)),
      sockets_(std::move(sockets)),
      rewriter_(host_.name, host_.port, substitutes_, limits.request,
                {.on_used = handlers_.on_used,
                 .on_spelled = [this](absl::string_view text) { mask_.Add(text); },
                 .on_withheld = handlers_.on_withheld}) {}

Relay::~Relay() {
  loop_.Cancel(timer_);
  if (guest_.has_value()) SetWatch(guest_->fd(), 0, guest_watched_);
  if (upstream_.has_value()) SetWatch(upstream_->fd(), 0, upstream_watched_);
  Wipe(up_.held);
}

absl::Status Relay::Start() {
  MSB_ASSIGN_OR_RETURN(SslPtr server, MakeServer(tls_.server, host_.name, sockets_.guest.get()));
  MSB_RETURN_IF_ERROR(tls_.authority.Present(host_.name, server.get()));
  MSB_ASSIGN_OR_RETURN(SslPtr client, MakeClient(tls_.client, host_.name, sockets_.upstream.get()));
  guest_.emplace(std::move(server), std::move(sockets_.guest));
  upstream_.emplace(std::move(client), std::move(sockets_.upstream));
  timer_ = loop_.After(handshake_timeout_, [this] {
    handlers_.on_failed("no TLS within the time for it ([secrets] handshake_timeout)");
    End();
    handlers_.on_done();
  });
  SetWatch(guest_->fd(), EPOLLIN, guest_watched_);
  return absl::OkStatus();
}

void Relay::OnReady() {
  StepHandshakes();
  if (state_ == State::kOpen) Pump();
  if (state_ == State::kLinger) Linger();
  if (state_ == State::kDone) return handlers_.on_done();
  UpdateWatches();
}

void Relay::StepHandshakes() {
  if (state_ == State::kGuestHandshake) {
    const TlsStream::Result result = guest_->Handshake();
    if (result == TlsStream::Result::kBlocked) return;
    if (result != TlsStream::Result::kDone) {
      handlers_.on_failed(absl::StrCat("the guest's TLS: ", guest_->error()));
      return BeginLinger();  // TLS's own alert says why
    }
    state_ = State::kUpstreamHandshake;
  }
  if (state_ == State::kUpstreamHandshake) {
    const TlsStream::Result result = upstream_->Handshake();
    if (result == TlsStream::Result::kBlocked) return;
    if (result != TlsStream::Result::kDone) {
      const std::string why =
          upstream_->error().empty() ? "the host ended the connection" : upstream_->error();
      return Refuse("502 Bad Gateway",
                    absl::StrCat("no trusted connection with ", host_.name, ": ", why));
    }
    loop_.Cancel(timer_);
    state_ = State::kOpen;
  }
}

// Until nothing moves: what TLS has decrypted already makes no socket ready.
void Relay::Pump() {
  for (int round = 0; state_ == State::kOpen; ++round) {
    bool moved = ReadGuest();
    if (state_ != State::kOpen) return;
    moved = Flush(up_, *upstream_) || moved;
    if (state_ != State::kOpen) return;
    moved = ReadUpstream() || moved;
    if (state_ != State::kOpen) return;
    moved = Flush(down_, *guest_) || moved;
    if (state_ != State::kOpen || !moved) break;
    if (round == kRoundsPerTurn) {
      loop_.Cancel(timer_);
      timer_ = loop_.After(absl::ZeroDuration(), [this] { OnReady(); });
      return;
    }
  }
  if (state_ == State::kOpen && up_.told && down_.told) End();
}

bool Relay::ReadGuest() {
  if (up_.ended || up_.rest().size() >= kMaxHeld) return false;
  std::string bytes;
  const TlsStream::Result result = guest_->Read(kReadBytes, bytes);
  if (!bytes.empty()) {
    const absl::Status understood = rewriter_.Feed(bytes, up_.held);
    if (!understood.ok()) {
      Refuse("400 Bad Request",
             absl::StrCat("no request that a secret may be put into: ", understood.message()));
      return false;
    }
  }
  if (result == TlsStream::Result::kBlocked) return false;
  // A guest that has gone without a word gets no answer either.
  if (result == TlsStream::Result::kFailed) return End(), false;
  if (result == TlsStream::Result::kEnded) up_.ended = true;
  return true;
}

bool Relay::ReadUpstream() {
  if (down_.ended || down_.rest().size() >= kMaxHeld) return false;
  std::string bytes;
  const TlsStream::Result result = upstream_->Read(kReadBytes, bytes);
  if (!bytes.empty()) mask_.Feed(bytes, down_.held);
  if (result == TlsStream::Result::kBlocked) return false;
  if (result != TlsStream::Result::kDone) {
    mask_.Finish(down_.held);
    down_.ended = true;
    clean_end_ = result == TlsStream::Result::kEnded;
  }
  return true;
}

bool Relay::Flush(Direction& direction, TlsStream& to) {
  if (direction.told) return false;
  absl::string_view rest = direction.rest();
  const size_t before = rest.size();
  const TlsStream::Result result = to.Write(rest);
  direction.written += before - rest.size();
  const bool moved = rest.size() < before;
  if (moved && &direction == &down_) answered_ = true;
  if (result == TlsStream::Result::kFailed || result == TlsStream::Result::kEnded) {
    // The guest: nobody is left to tell. The host: what it has said before it ended may still come.
    if (&to == &*guest_ || down_.ended) return End(), false;
    direction.told = direction.ended = true;
    direction.written = direction.held.size();
    return true;
  }
  if (result == TlsStream::Result::kBlocked) {
    if (direction.written < kMaxHeld) return moved;
    direction.held.erase(0, direction.written);
    direction.written = 0;
    return moved;
  }
  // Of the two, the way up has values in it.
  if (&direction == &up_ && !up_.held.empty()) Wipe(up_.held);
  direction.held.clear();
  direction.written = 0;
  if (!direction.ended) return moved;
  direction.told = true;
  // An end that the host did not say within TLS is passed on as just that.
  if (&to == &*guest_) {
    if (clean_end_) to.Finish();
    End();
  } else {
    to.Finish();
  }
  return true;
}

void Relay::Refuse(absl::string_view status_line, absl::string_view why) {
  handlers_.on_failed(why);
  if (answered_ || !down_.rest().empty()) return End();
  const std::string text = absl::StrCat("microsandbox: ", why, "\n");
  down_.held =
      absl::StrCat("HTTP/1.1 ", status_line,
                   "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ", text.size(),
                   "\r\nConnection: close\r\n\r\n", text);
  down_.written = 0;
  BeginLinger();
}

void Relay::BeginLinger() {
  state_ = State::kLinger;
  loop_.Cancel(timer_);
  timer_ = loop_.After(kLingerTimeout, [this] {
    End();
    handlers_.on_done();
  });
}

// To close a socket with unread bytes in it would take the answer back.
void Relay::Linger() {
  absl::string_view rest = down_.rest();
  const size_t before = rest.size();
  const TlsStream::Result written = guest_->Write(rest);
  down_.written += before - rest.size();
  if (written == TlsStream::Result::kBlocked) return;
  if (written != TlsStream::Result::kDone) return End();
  guest_->Finish();
  ::shutdown(guest_->fd(), SHUT_WR);
  char ignored[kReadBytes];
  for (int round = 0; round < kRoundsPerTurn; ++round) {
    const ssize_t got = ::recv(guest_->fd(), ignored, sizeof(ignored), MSG_DONTWAIT);
    if (got > 0) continue;
    if (got == 0 || errno != EAGAIN) End();
    return;
  }
}

void Relay::End() {
  state_ = State::kDone;
  loop_.Cancel(timer_);
  SetWatch(guest_->fd(), 0, guest_watched_);
  SetWatch(upstream_->fd(), 0, upstream_watched_);
}

void Relay::UpdateWatches() {
  uint32_t guest = 0;
  uint32_t upstream = 0;
  switch (state_) {
    case State::kGuestHandshake:
      guest = guest_->read_wants();
      break;
    case State::kUpstreamHandshake:
      upstream = upstream_->read_wants();
      break;
    case State::kOpen:
      if (!up_.ended && up_.rest().size() < kMaxHeld) guest |= guest_->read_wants();
      if (!down_.rest().empty()) guest |= guest_->write_wants();
      if (!down_.ended && down_.rest().size() < kMaxHeld) upstream |= upstream_->read_wants();
      if (!up_.rest().empty()) upstream |= upstream_->write_wants();
      break;
    case State::kLinger:
      guest = down_.rest().empty() ? uint32_t{EPOLLIN} : guest_->write_wants();
      break;
    case State::kDone:
      break;
  }
  SetWatch(guest_->fd(), guest, guest_watched_);
  SetWatch(upstream_->fd(), upstream, upstream_watched_);
}

void Relay::SetWatch(int fd, uint32_t wanted, uint32_t& watched) {
  if (wanted == watched) return;
  absl::Status status;
  if (watched == 0) {
    status = loop_.Watch(fd, wanted, [this](uint32_t) { OnReady(); });
  } else if (wanted == 0) {
    loop_.Unwatch(fd);
  } else {
    status = loop_.Modify(fd, wanted);
  }
  watched = status.ok() ? wanted : 0;
}

}  // namespace msb::net
