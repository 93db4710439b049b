// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The URLs of registries (RFC 3986), as far as HTTP needs them. Pure.

#ifndef MSB_IMAGE_REGISTRY_URL_H_
#define MSB_IMAGE_REGISTRY_URL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::image {

struct Url {
  bool tls = true;
  std::string host;  // a name or an address, IPv6 without brackets
  uint16_t port = 443;
  std::string target;  // path and query, begins with "/"

  // "registry.example:5000", as in a Host header: without the scheme's own port.
  std::string Authority() const;
  std::string ToString() const;
};

inline bool IsSameOrigin(const Url& a, const Url& b) {
  return a.tls == b.tls && a.host == b.host && a.port == b.port;
}

// An absolute http or https URL. Refuses user names, control characters, spaces and anything that
// is not ASCII; drops the fragment.
absl::StatusOr<Url> ParseUrl(absl::string_view text);

// A Location header as seen from `base`: an absolute URL, "//host/path", "/path" or "path".
absl::StatusOr<Url> ResolveReference(const Url& base, absl::string_view reference);

// "host", "host:port" or "[v6]:port".
absl::StatusOr<Url> UrlOfEndpoint(absl::string_view host_and_port, bool tls);

// `text` for a query's value: everything but unreserved characters as %XX.
std::string PercentEncode(absl::string_view text);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_URL_H_
