// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The clients of a listening socket. Where accept fails, for want of descriptors say, they wait a
// moment: a listener that is asked all the time would keep its process from everything else.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_LINK_ACCEPTOR_H_
#define MSB_NETWORK_LINK_ACCEPTOR_H_

#include <sys/socket.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb::net {

class Acceptor {
 public:
  struct Peer {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
  };
  // `client` is non-blocking. The acceptor may not be destroyed within the call.
  using OnClient = std::function<void(UniqueFd client, const Peer& peer)>;

  // `loop` and `listener`, which is non-blocking, outlive the acceptor. `name` is what log lines
  // call the listener.
  Acceptor(EventLoop& loop, std::string name, int listener, OnClient on_client);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  absl::Status Start();

 private:
  void OnReady();
  void Pause();

  EventLoop& loop_;
  const std::string name_;
  const int listener_;
  const OnClient on_client_;
  bool failing_ = false;  // told in the log once
  EventLoop::TimerId pause_{};
};

}  // namespace msb::net

#endif  // MSB_NETWORK_LINK_ACCEPTOR_H_
