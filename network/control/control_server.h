// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The control socket of msb-net (proto/msb/net/v1/net.proto): status, policy, ports, events. Its
// clients are the daemon's.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_CONTROL_CONTROL_SERVER_H_
#define MSB_NETWORK_CONTROL_CONTROL_SERVER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/unique_fd.h"
#include "msb/net/v1/net.pb.h"
#include "network/flow/stack.h"
#include "network/link/acceptor.h"

namespace msb::net {

class ControlServer {
 public:
  // What a client that does not read may have waiting; events beyond it are lost, and counted.
  static constexpr size_t kMaxBufferedBytes = 1 << 20;
  static constexpr size_t kMaxClients = 16;

  // All outlive the server. `listener` is a non-blocking listening Unix socket.
  ControlServer(EventLoop& loop, UniqueFd listener, Stack& stack, Audit& audit);
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();

  absl::Status Start();

 private:
  struct Client {
    UniqueFd socket;
    FrameReader reader;
    std::deque<UniqueFd> descriptors;  // that came with frames
    std::string out;
    std::optional<uint64_t> watch;  // the id of its watch request
    bool writable = true;
  };

  // Events are made only while somebody watches.
  void UpdateSink();
  void OnEvent(const msb::net::v1::Event& event);
  void OnConnected(UniqueFd socket);
  void OnClient(Client& client, uint32_t events);
  absl::Status Receive(Client& client);
  absl::Status Handle(Client& client, absl::string_view frame);
  // That came with the frame.
  static absl::StatusOr<UniqueFd> TakeDescriptor(Client& client);
  absl::Status Execute(Client& client, const msb::net::v1::ControlRequest& request,
                       msb::net::v1::ControlResponse& response);
  void Send(Client& client, const msb::net::v1::ControlResponse& response);
  absl::Status Flush(Client& client);
  void Drop(const Client& client);

  EventLoop& loop_;
  const UniqueFd listener_;
  Acceptor acceptor_;
  Stack& stack_;
  Audit& audit_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_CONTROL_CONTROL_SERVER_H_
