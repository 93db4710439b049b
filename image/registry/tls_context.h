// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whom TLS connections to an endpoint, and to what it leads to, trust.

#ifndef MSB_IMAGE_REGISTRY_TLS_CONTEXT_H_
#define MSB_IMAGE_REGISTRY_TLS_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace msb::image {

struct TlsTrust {
  bool verify = true;
  std::string extra_ca_pem;  // certificates, trusted beside the host's
};

// Thread-safe once made.
class TlsContext {
 public:
  // kInvalidArgument when `extra_ca_pem` has no certificate, or one that cannot be read.
  static absl::StatusOr<TlsContext> Create(const TlsTrust& trust);

  SSL_CTX* get() const { return context_.get(); }
  bool verifies() const { return verifies_; }
  // Whether one of the host's bundles of CA certificates was found.
  bool has_host_roots() const { return has_host_roots_; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const;
  };
  TlsContext() = default;
  std::unique_ptr<SSL_CTX, Free> context_;
  bool verifies_ = true;
  bool has_host_roots_ = false;
};

// What OpenSSL has to say of its last failure; its queue is empty afterwards.
std::string TakeTlsError();

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_TLS_CONTEXT_H_
