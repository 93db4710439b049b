// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/environment.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace msb::net {

bool Environment::WaitForRoom() {
  if (link->congested()) return true;
  // Asked once: by a second time there might be room, and nobody to tell.
  const absl::Duration wait = down.Wait(absl::Now());
  if (wait <= absl::ZeroDuration()) return false;
  if (std::exchange(room_timer_armed, true)) return true;
  loop.After(wait, [this] {
    room_timer_armed = false;
    on_room();
  });
  return true;
}

IpAddress Environment::Behind(const IpAddress& destination) const {
  if (!addresses.IsGateway(destination)) return destination;
  static const IpAddress loopback_v4 = *IpAddress::Parse("127.0.0.1");
  static const IpAddress loopback_v6 = *IpAddress::Parse("::1");
  return destination.is_v4() ? loopback_v4 : loopback_v6;
}

SocketAddress SocketAddress::From(const IpAddress& address, uint16_t port) {
  SocketAddress made;
  if (address.is_v4()) {
    sockaddr_in socket{};
    socket.sin_family = AF_INET;
    socket.sin_port = htons(port);
    std::memcpy(&socket.sin_addr, address.wire().data(), 4);
    std::memcpy(&made.storage, &socket, sizeof(socket));
    made.size = sizeof(socket);
  } else {
    sockaddr_in6 socket{};
    socket.sin6_family = AF_INET6;
    socket.sin6_port = htons(port);
    std::memcpy(&socket.sin6_addr, address.wire().data(), 16);
    std::memcpy(&made.storage, &socket, sizeof(socket));
    made.size = sizeof(socket);
  }
  return made;
}

IpAddress SocketAddress::address() const {
  const bool v4 = storage.ss_family == AF_INET;
  const auto* bytes = v4 ? reinterpret_cast<const uint8_t*>(
                               &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr)
                         : reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr.s6_addr;
  return IpAddress::FromBytes(absl::MakeConstSpan(bytes, v4 ? 4 : 16));
}

uint16_t SocketAddress::port() const {
  // At the same place in both.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

}  // namespace msb::net
