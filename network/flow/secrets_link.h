// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Connections that secrets may go into are handed to msb-secrets (proto/msb/net/v1/secrets.proto):
// it gets both sockets of one, and this process none of its bytes in the clear.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_FLOW_SECRETS_LINK_H_
#define MSB_NETWORK_FLOW_SECRETS_LINK_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/net/v1/net.pb.h"
#include "network/flow/audit.h"
#include "network/policy/secret_host.h"

namespace msb::net {

class SecretsLink {
 public:
  // Both outlive the link.
  SecretsLink(EventLoop& loop, Audit& audit) : loop_(loop), audit_(audit) {}
  SecretsLink(const SecretsLink&) = delete;
  SecretsLink& operator=(const SecretsLink&) = delete;
  ~SecretsLink();

  // kSecretInvalid: nothing changes.
  absl::Status Set(const msb::net::v1::SecretHosts& hosts);
  // The socket to msb-secrets, in place of an earlier one.
  absl::Status Connect(UniqueFd socket);

  bool empty() const { return hosts_.empty(); }
  // Whether TLS to some name at that port is ours to look at.
  bool UsesPort(uint16_t port) const;
  bool Serves(absl::string_view name, uint16_t port) const;

  struct Flow {
    FlowLabel label;
    std::string name;
    uint16_t port = 0;
  };
  // Hands a connection over. Returns its number, for Forget. kUnavailable: msb-secrets is not
  // there.
  absl::StatusOr<uint64_t> HandOver(Flow flow, int guest_end, int upstream);
  // Of a connection that has ended. What was done in its last moments is still told: a guest that
  // resets its connection at once hides nothing.
  void Forget(uint64_t number);

  // Names of secrets whose placeholders are in `bytes`, which leave in the clear. Only for the
  // audit: one that is spread over two pieces is not seen.
  std::vector<std::string> PlaceholdersIn(absl::string_view bytes) const;

 private:
  void OnNotices();

  EventLoop& loop_;
  Audit& audit_;
  std::vector<SecretHost> hosts_;
  std::vector<std::pair<std::string, std::string>> placeholders_;  // and the secret's name
  UniqueFd channel_;
  uint64_t next_number_ = 1;
  absl::flat_hash_map<uint64_t, FlowLabel> flows_;
  std::deque<uint64_t> ended_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_SECRETS_LINK_H_
