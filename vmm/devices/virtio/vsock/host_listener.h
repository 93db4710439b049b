// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Clients on the host that want a port of the guest: "CONNECT <port>\n" on a listening Unix socket
// (the protocol that Firecracker made common). The "OK <host port>\n" is the connection's to send.
//
// Threading: everything on the event loop's thread.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_HOST_LISTENER_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_HOST_LISTENER_H_

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/vsock/limits.h"

namespace msb {

// The port of a whole line, its newline included; nullopt for anything but "CONNECT <0..2^32-2>\n".
std::optional<uint32_t> ParseConnectLine(absl::string_view line);

class HostListener {
 public:
  // What follows the line is still in `socket`, which is non-blocking.
  using OnConnect = std::function<void(UniqueFd socket, uint32_t guest_port)>;

  HostListener(EventLoop& loop, const VsockLimits& limits, OnConnect on_connect);
  HostListener(const HostListener&) = delete;
  HostListener& operator=(const HostListener&) = delete;
  ~HostListener();

  // Takes clients from `listener`, a non-blocking listening socket. Once.
  absl::Status Start(UniqueFd listener);

  size_t handshakes() const { return handshakes_.size(); }

 private:
  struct Handshake {
    UniqueFd socket;
    std::string line;
    EventLoop::TimerId timer{};
  };
  using Handshakes = std::list<Handshake>;
  enum class Progress { kNeedsMore, kWhole, kFailed };

  void OnListenerReady();
  void PauseAccepting();
  void Greet(UniqueFd socket);
  Progress ReadLine(Handshake& handshake);
  // Ends it, one way or the other.
  void Finish(UniqueFd socket, absl::string_view line);
  void OnClientReady(Handshakes::iterator handshake);
  // Its socket, no longer watched.
  UniqueFd Release(Handshakes::iterator handshake);

  EventLoop& loop_;
  const VsockLimits limits_;
  const OnConnect on_connect_;
  UniqueFd listener_;
  EventLoop::TimerId pause_{};
  Handshakes handshakes_;  // the oldest first
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_HOST_LISTENER_H_
