// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The name that a client asks for in the first message of TLS (RFC 8446, 4.1.2; RFC 6066, 3). Pure,
// on hostile bytes.

#ifndef MSB_NETWORK_TLS_CLIENT_HELLO_H_
#define MSB_NETWORK_TLS_CLIENT_HELLO_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace msb::net {

struct ClientHello {
  enum class State {
    kNotTls,     // something else: no byte of it can begin a handshake
    kNeedsMore,  // so far it may be one
    kWhole,
    kBroken,  // begins like one, and is none
  };
  State state = State::kNotTls;
  std::string server_name;  // lower case; empty: it names none
};

// A hello that is longer than this is refused: no client sends such a one.
inline constexpr size_t kMaxClientHelloBytes = 32 << 10;

// `bytes`: the first of a connection.
ClientHello ParseClientHello(absl::string_view bytes);

}  // namespace msb::net

#endif  // MSB_NETWORK_TLS_CLIENT_HELLO_H_
