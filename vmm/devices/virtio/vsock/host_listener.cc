// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/host_listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace msb {
namespace {

// "CONNECT 4294967294\n" has 19.
constexpr size_t kMaxLineBytes = 32;
// Between two looks at other events.
constexpr int kMaxAcceptsPerTurn = 16;
// Without a free descriptor or memory, accept fails until something is closed: not asked all the
// time.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace

std::optional<uint32_t> ParseConnectLine(absl::string_view line) {
  if (!absl::ConsumePrefix(&line, "CONNECT ") || !absl::ConsumeSuffix(&line, "\n")) {
    return std::nullopt;
  }
  // SimpleAtoi would take a sign and spaces too.
  if (line.empty() || !std::all_of(line.begin(), line.end(), absl::ascii_isdigit)) {
    return std::nullopt;
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(line, &port) || port == UINT32_MAX) return std::nullopt;  // "any port"
  return port;
}

HostListener::HostListener(EventLoop& loop, const VsockLimits& limits, OnConnect on_connect)
    : loop_(loop), limits_(limits), on_connect_(std::move(on_connect)) {}

HostListener::~HostListener() {
  loop_.Cancel(pause_);
  if (listener_.valid()) loop_.Unwatch(listener_.get());
  while (!handshakes_.empty()) Release(handshakes_.begin()).Reset();
}

absl::Status HostListener::Start(UniqueFd listener) {
  MSB_CHECK(!listener_.valid());
  MSB_RETURN_IF_ERROR(
      loop_.Watch(listener.get(), EPOLLIN, [this](uint32_t) { OnListenerReady(); }));
  listener_ = std::move(listener);
  return absl::OkStatus();
}

void HostListener::OnListenerReady() {
  for (int i = 0; i < kMaxAcceptsPerTurn; ++i) {
    absl::StatusOr<UniqueFd> socket = AcceptUnix(listener_.get(), Blocking::kNo);
    if (socket.ok()) {
      Greet(*std::move(socket));
    } else {
      if (!absl::IsUnavailable(socket.status())) PauseAccepting();
      return;
    }
  }
}

void HostListener::PauseAccepting() {
  MSB_LOG(kWarning) << "vsock: clients wait, since accept fails";
  if (!loop_.Modify(listener_.get(), 0).ok()) return;
  pause_ = loop_.After(kAcceptPause, [this] {
    const absl::Status resumed = loop_.Modify(listener_.get(), EPOLLIN);
    if (!resumed.ok()) {
      MSB_LOG(kError) << "vsock: no more clients: " << resumed.ToString();
    }
  });
}

// Most clients have sent their line by the time they are accepted: those are never watched.
void HostListener::Greet(UniqueFd socket) {
  if (handshakes_.size() >= limits_.max_handshakes) Release(handshakes_.begin()).Reset();
  Handshake handshake{.socket = std::move(socket), .line = {}, .timer = {}};
  const Progress progress = ReadLine(handshake);
  if (progress == Progress::kWhole) return Finish(std::move(handshake.socket), handshake.line);
  if (progress == Progress::kFailed) return;
  const int fd = handshake.socket.get();
  const auto it = handshakes_.insert(handshakes_.end(), std::move(handshake));
  it->timer = loop_.After(limits_.handshake_timeout, [this, it] { Release(it).Reset(); });
  const absl::Status watched =
      loop_.Watch(fd, EPOLLIN, [this, it](uint32_t) { OnClientReady(it); });
  if (!watched.ok()) Release(it).Reset();
}

void HostListener::OnClientReady(Handshakes::iterator handshake) {
  const Progress progress = ReadLine(*handshake);
  if (progress == Progress::kNeedsMore) return;
  const std::string line = std::move(handshake->line);
  UniqueFd socket = Release(handshake);
  if (progress == Progress::kWhole) Finish(std::move(socket), line);
}

// Takes nothing behind the newline: that is for the guest.
HostListener::Progress HostListener::ReadLine(Handshake& handshake) {
  const int fd = handshake.socket.get();
  std::string& line = handshake.line;
  while (line.size() < kMaxLineBytes) {
    char buffer[kMaxLineBytes];
    const size_t room = kMaxLineBytes - line.size();
    const ssize_t seen = ::recv(fd, buffer, room, MSG_PEEK | MSG_DONTWAIT);
    if (seen < 0 && errno == EAGAIN) return Progress::kNeedsMore;
    if (seen <= 0) return Progress::kFailed;
    const char* const end = std::find(buffer, buffer + seen, '\n');
    const bool whole = end != buffer + seen;
    const size_t taken = static_cast<size_t>(end - buffer) + (whole ? 1 : 0);
    if (::recv(fd, buffer, taken, MSG_DONTWAIT) != static_cast<ssize_t>(taken)) {
      return Progress::kFailed;
    }
    line.append(buffer, taken);
    if (whole) return Progress::kWhole;
  }
  return Progress::kFailed;
}

void HostListener::Finish(UniqueFd socket, absl::string_view line) {
  const std::optional<uint32_t> port = ParseConnectLine(line);
  if (port.has_value()) on_connect_(std::move(socket), *port);
}

UniqueFd HostListener::Release(Handshakes::iterator handshake) {
  loop_.Cancel(handshake->timer);
  UniqueFd socket = std::move(handshake->socket);
  loop_.Unwatch(socket.get());
  handshakes_.erase(handshake);
  return socket;
}

}  // namespace msb
