// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What msb-secrets is told: by the daemon, on the control socket, its table and who hands
// connections over; by msb-net, on that one's socket, connections. Who hands over may not ask for
// anything else.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_SECRETS_SECRETS_SERVER_H_
#define MSB_NETWORK_SECRETS_SECRETS_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/unique_fd.h"
#include "msb/net/v1/secrets.pb.h"
#include "network/link/acceptor.h"
#include "network/secrets/limits.h"
#include "network/secrets/relay.h"
#include "network/secrets/secret_table.h"

namespace msb::net {

msb::net::v1::SecretsResponse Refusal(const absl::Status& why);

class SecretsServer {
 public:
  static constexpr size_t kMaxClients = 8;

  // `loop` and `tls` outlive the server. `listener` is a non-blocking listening Unix socket.
  SecretsServer(EventLoop& loop, const Relay::Tls& tls, const SecretsLimits& limits,
                UniqueFd listener);
  SecretsServer(const SecretsServer&) = delete;
  SecretsServer& operator=(const SecretsServer&) = delete;
  ~SecretsServer();

  absl::Status Start();

 private:
  struct Client {
    UniqueFd socket;
    FrameReader reader;
    std::vector<UniqueFd> descriptors;  // that came with frames
  };

  void OnConnected(UniqueFd socket);
  void OnClient(Client& client);
  absl::Status Receive(Client& client);
  absl::StatusOr<msb::net::v1::SecretsResponse> Carry(Client& client,
                                                      msb::net::v1::SecretsRequest& request);
  absl::Status Connect(UniqueFd socket);
  void OnHandOvers();
  void Begin(const msb::net::v1::HandOver& hand_over, Relay::Sockets sockets);
  void Notify(uint64_t flow, msb::net::v1::SecretNotice::Kind kind, absl::string_view secret,
              absl::string_view detail);
  bool Tell(msb::net::v1::SecretNotice notice);
  void Bury(uint64_t key);

  EventLoop& loop_;
  const Relay::Tls tls_;
  const SecretsLimits limits_;
  const UniqueFd listener_;
  Acceptor acceptor_;
  std::vector<std::unique_ptr<Client>> clients_;
  UniqueFd channel_;           // of msb-net
  uint64_t lost_notices_ = 0;  // that it has not been told of
  bool waits_for_room_ = false;
  std::shared_ptr<const SecretTable> table_ = std::make_shared<const SecretTable>();
  uint64_t next_key_ = 1;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Relay>> relays_;
  std::vector<std::unique_ptr<Relay>> buried_;  // ended; destroyed outside of their own calls
  EventLoop::TimerId bury_timer_{};
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_SECRETS_SERVER_H_
