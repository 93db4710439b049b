// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the requests with one guest's secrets may use. Each can be set in SecretsSpec.limits.

#ifndef MSB_NETWORK_SECRETS_LIMITS_H_
#define MSB_NETWORK_SECRETS_LIMITS_H_

#include <cstddef>

#include "absl/time/time.h"

namespace msb::net {

struct RequestLimits {
  // A larger head is no request.
  size_t max_head_bytes = 64 << 10;
  // A text body with a Content-Length is held until it is whole, since its length may change. A
  // longer one goes out as it is.
  size_t max_body_bytes = 256 << 10;
  // What values take up in one request, as they are spelled there. A guest's placeholders are short
  // and its values may be long: a few hundred bytes of it would become megabytes.
  size_t max_value_bytes = 1 << 20;
};

struct SecretsLimits {
  size_t max_connections = 1024;  // at once; a further one is refused
  // Of both handshakes of a connection together.
  absl::Duration handshake_timeout = absl::Seconds(30);
  RequestLimits request;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_LIMITS_H_
