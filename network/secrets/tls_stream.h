// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// TLS over a non-blocking socket, one call a step: each says whether it went on, and if not, what
// the socket has to be ready for.

#ifndef MSB_NETWORK_SECRETS_TLS_STREAM_H_
#define MSB_NETWORK_SECRETS_TLS_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "network/secrets/openssl.h"

namespace msb::net {

class TlsStream {
 public:
  enum class Result {
    kDone,
    kBlocked,  // wants() says for what
    kEnded,    // the other side has said that it sends no more, or has gone
    kFailed,   // error() says why
  };

  // `ssl` has its role; the socket is non-blocking.
  TlsStream(SslPtr ssl, UniqueFd socket);

  int fd() const { return socket_.get(); }
  SSL* ssl() const { return ssl_.get(); }

  Result Handshake();
  // Appends at most `max` bytes to `out`.
  Result Read(size_t max, std::string& out);
  // Takes what it can from the front of `bytes`; kDone: all of it.
  Result Write(absl::string_view& bytes);
  // Says that we send no more, as far as the socket takes it at once.
  void Finish();

  // EPOLLIN or EPOLLOUT, of the last call of each kind that was blocked; 0: none was.
  uint32_t read_wants() const { return read_wants_; }
  uint32_t write_wants() const { return write_wants_; }
  const std::string& error() const { return error_; }

 private:
  Result Judge(int returned, uint32_t& wants);

  const UniqueFd socket_;
  const SslPtr ssl_;
  uint32_t read_wants_ = 0;
  uint32_t write_wants_ = 0;
  std::string error_;
  bool finished_ = false;
};

// Contexts of both roles. The server's: HTTP/1.1 and no other protocol by ALPN, TLS 1.2 or later.
absl::StatusOr<SslContextPtr> MakeServerContext();
// Believes the certificates in `ca_store` (PEM), for server names alone. kCaStoreInvalid when none
// is there.
absl::StatusOr<SslContextPtr> MakeClientContext(absl::string_view ca_store);

// To the guest. Its ClientHello has to name `host`; the certificate is the caller's to set.
absl::StatusOr<SslPtr> MakeServer(SSL_CTX* context, const std::string& host, int fd);
// To the host, whose certificate has to be for `host`.
absl::StatusOr<SslPtr> MakeClient(SSL_CTX* context, const std::string& host, int fd);

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_TLS_STREAM_H_
