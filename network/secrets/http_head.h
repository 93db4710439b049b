// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The head of an HTTP/1 request (RFC 9112), read strictly: what two servers could understand in two
// ways is no request here. Pure, on hostile bytes.

#ifndef MSB_NETWORK_SECRETS_HTTP_HEAD_H_
#define MSB_NETWORK_SECRETS_HTTP_HEAD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::net {

struct HttpField {
  absl::string_view name;
  absl::string_view value;  // without the blanks around it
};

struct RequestHead {
  absl::string_view method;
  absl::string_view target;
  absl::string_view version;  // "HTTP/1.1"
  std::vector<HttpField> fields;

  // How its content ends. Both unset: it has none.
  std::optional<uint64_t> content_length;
  bool chunked = false;

  // Of the only field of that name (in lower case); nullopt: there is none.
  std::optional<absl::string_view> Find(absl::string_view name) const;
};

// `text` ends with the empty line, and outlives the answer. kInvalidArgument: bare CR or LF,
// control characters, folded lines, blanks where none belong; a Content-Length that is none, or
// twice, or beside Transfer-Encoding; a Transfer-Encoding other than "chunked"; two Hosts.
absl::StatusOr<RequestHead> ParseRequestHead(absl::string_view text);

// Whether all that says whom the request is for (Host, the target when it is a whole URL) says
// `host` (lower case), and, where it names a port, `port`.
bool IsForHost(const RequestHead& head, absl::string_view host, uint16_t port);

// RFC 9110, 5.6.2.
bool IsToken(absl::string_view text);

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_HTTP_HEAD_H_
