// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One connection between the guest and a host that secrets may go to: TLS ends here on both sides,
// requests are rewritten between them, answers pass. What one side does not take, the other waits
// for.

#ifndef MSB_NETWORK_SECRETS_RELAY_H_
#define MSB_NETWORK_SECRETS_RELAY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "network/secrets/certificate_authority.h"
#include "network/secrets/limits.h"
#include "network/secrets/request_rewriter.h"
#include "network/secrets/response_mask.h"
#include "network/secrets/secret_table.h"
#include "network/secrets/tls_stream.h"

namespace msb::net {

struct RelayHost {
  std::string name;  // lower case
  uint16_t port = 443;
};

class Relay {
 public:
  // Of an ending guest to read why.
  static constexpr absl::Duration kLingerTimeout = absl::Seconds(5);
  // What is held of one direction at most before its source is no longer read.
  static constexpr size_t kMaxHeld = 256 << 10;

  struct Handlers {
    std::function<void(const Substitute&)> on_used;
    std::function<void(const Substitute&, absl::string_view why)> on_withheld;
    std::function<void(absl::string_view why)> on_failed;
    // Called once, at the end of a call of the loop's; the relay may be destroyed behind it.
    std::function<void()> on_done;
  };
  struct Tls {
    SSL_CTX* server;
    SSL_CTX* client;
    CertificateAuthority& authority;
  };

  struct Sockets {  // connected and non-blocking
    UniqueFd guest;
    UniqueFd upstream;
  };

  // `loop` and `tls` outlive the relay.
  Relay(EventLoop& loop, const Tls& tls, const SecretsLimits& limits, RelayHost host,
        std::shared_ptr<const SecretTable> table, Sockets sockets, Handlers handlers);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // on_done is called at the next turn at the earliest.
  absl::Status Start();

 private:
  enum class State { kGuestHandshake, kUpstreamHandshake, kOpen, kLinger, kDone };
  struct Direction {
    std::string held;  // for the other side
    size_t written = 0;
    bool ended = false;  // its source says no more
    bool told = false;   // the other side knows

    absl::string_view rest() const { return absl::string_view(held).substr(written); }
  };

  void OnReady();
  void StepHandshakes();
  void Pump();
  // True: something moved.
  bool ReadGuest();
  bool ReadUpstream();
  bool Flush(Direction& direction, TlsStream& to);
  // Says nothing more to the guest than what is written, and waits until it has read that.
  void BeginLinger();
  void Linger();
  // Answers the guest with an error of ours, if it has had no answer yet, and ends.
  void Refuse(absl::string_view status_line, absl::string_view why);
  void End();
  void UpdateWatches();
  void SetWatch(int fd, uint32_t wanted, uint32_t& watched);

  EventLoop& loop_;
  const Tls tls_;
  const absl::Duration handshake_timeout_;
  const RelayHost host_;
  const std::shared_ptr<const SecretTable> table_;
  const std::vector<Substitute> substitutes_;
  const Handlers handlers_;
  Sockets sockets_;  // until Start
  std::optional<TlsStream> guest_;
  std::optional<TlsStream> upstream_;
  RequestRewriter rewriter_;
  ResponseMask mask_;
  State state_ = State::kGuestHandshake;
  Direction up_;
  Direction down_;
  bool clean_end_ = false;  // of the host: it has said so within TLS
  bool answered_ = false;   // the guest has bytes of an answer
  uint32_t guest_watched_ = 0;
  uint32_t upstream_watched_ = 0;
  EventLoop::TimerId timer_{};
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_RELAY_H_
