// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The name that a client asks for in the first message of TLS (RFC 8446, 4.1.2; RFC 6066, 3). Pure,
// on hostile bytes.

#ifndef MSB_NETWORK_TLS_CLIENT_HELLO_H_
#define MSB_NETWORK_TLS_CLIENT_HELLO_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "network/packet/wire.h"

namespace msb::net {

struct ClientHello {
  enum class State {
    kNotTls,     // something else, which no server takes for the beginning of a handshake
    kNeedsMore,  // so far it may be one
    kWhole,
    kBroken,  // begins like one, and is none, or is one in a form that no client of today sends
  };
  State state = State::kNotTls;
  std::string server_name;  // lower case; empty: it names none
};

// A hello that is longer than this is refused: no client sends such a one.
inline constexpr size_t kMaxClientHelloBytes = 32 << 10;

// Takes the first bytes of a connection as they come, each of them once however they are cut.
class ClientHelloReader {
 public:
  // Nothing more is taken once the state is another than kNeedsMore.
  void Read(Bytes bytes);
  // No more bytes come, or no more are waited for.
  void GiveUp();
  const ClientHello& hello() const { return hello_; }
  size_t held_bytes() const { return message_.size(); }

 private:
  static constexpr size_t kRecordHeaderBytes = 5;

  void ReadHeader(uint8_t byte);
  Bytes ReadMessage(Bytes bytes);
  void End(ClientHello hello);

  ClientHello hello_{.state = ClientHello::State::kNeedsMore};
  uint8_t header_[kRecordHeaderBytes];
  size_t header_size_ = 0;
  size_t record_left_ = 0;
  bool any_record_ = false;
  std::string message_;  // which may be cut into several records
};

// `bytes`: all of them.
ClientHello ParseClientHello(absl::string_view bytes);

}  // namespace msb::net

#endif  // MSB_NETWORK_TLS_CLIENT_HELLO_H_
