// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A published port: a socket of the host's whose clients are let in to a port of the guest.

#ifndef MSB_NETWORK_FLOW_PORT_LISTENER_H_
#define MSB_NETWORK_FLOW_PORT_LISTENER_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/net/v1/net.pb.h"
#include "network/flow/environment.h"
#include "network/link/acceptor.h"

namespace msb::net {

class PortListener {
 public:
  struct Handlers {
    std::function<void(const PortListener&, UniqueFd client, const SocketAddress& peer)> on_client;
    std::function<void(const PortListener&, Bytes datagram, const SocketAddress& peer)> on_datagram;
  };

  // `loop` outlives the listener. `socket` listens (TCP) or is bound (UDP).
  PortListener(EventLoop& loop, const msb::net::v1::Port& port, UniqueFd socket, Handlers handlers);
  PortListener(const PortListener&) = delete;
  PortListener& operator=(const PortListener&) = delete;
  ~PortListener();

  absl::Status Start();
  const msb::net::v1::Port& port() const { return port_; }
  uint16_t guest_port() const { return static_cast<uint16_t>(port_.guest_port()); }
  int fd() const { return socket_.get(); }

 private:
  void OnDatagrams();

  EventLoop& loop_;
  const msb::net::v1::Port port_;
  UniqueFd socket_;
  const Handlers handlers_;
  std::optional<Acceptor> acceptor_;  // of TCP
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_PORT_LISTENER_H_
