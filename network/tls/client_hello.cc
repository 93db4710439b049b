// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/tls/client_hello.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "network/packet/wire.h"
#include "network/policy/rule.h"

namespace msb::net {
namespace {

constexpr uint8_t kHandshakeRecord = 22;
// From change_cipher_spec to heartbeat.
constexpr uint8_t kFirstRecordType = 20;
constexpr uint8_t kLastRecordType = 24;
// Some servers ask of a first record's version no more than that it is at most this.
constexpr uint8_t kMaxMajorVersion = 0x0f;
constexpr uint8_t kTlsMajorVersion = 3;
constexpr uint8_t kClientHelloMessage = 1;
constexpr uint16_t kServerNameExtension = 0;
constexpr uint8_t kHostName = 0;
constexpr size_t kMessageHeaderBytes = 4;
constexpr size_t kMaxRecordBytes = 16384;

// Takes vectors with a length before them off the front.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}
  bool failed() const { return failed_; }
  bool empty() const { return rest_.empty(); }
  uint32_t Number(size_t bytes) {
    uint32_t value = 0;
    for (const uint8_t byte : Take(bytes)) value = value << 8 | byte;
    return value;
  }
  Bytes Take(size_t bytes) {
    if (bytes > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const Bytes taken = rest_.first(bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  Bytes Vector(size_t length_bytes) { return Take(Number(length_bytes)); }

 private:
  Bytes rest_;
  bool failed_ = false;
};

// nullopt when broken; empty when there is none.
std::optional<std::string> ServerName(Bytes extension) {
  Reader list(Reader(extension).Vector(2));
  while (!list.empty()) {
    const uint32_t type = list.Number(1);
    const Bytes name = list.Vector(2);
    if (list.failed()) return std::nullopt;
    if (type != kHostName) continue;
    return NormalizeName({reinterpret_cast<const char*>(name.data()), name.size()});
  }
  return std::nullopt;
}

ClientHello ParseMessage(Bytes message) {
  ClientHello broken{.state = ClientHello::State::kBroken};
  Reader hello(message);
  hello.Take(2 + 32);  // version, random
  hello.Vector(1);     // session id
  hello.Vector(2);     // cipher suites
  hello.Vector(1);     // compression methods
  if (hello.failed()) return broken;
  ClientHello parsed{.state = ClientHello::State::kWhole};
  if (hello.empty()) return parsed;  // before TLS 1.2 there were no extensions
  Reader extensions(hello.Vector(2));
  if (hello.failed()) return broken;
  bool seen = false;
  while (!extensions.empty()) {
    const uint32_t type = extensions.Number(2);
    const Bytes data = extensions.Vector(2);
    if (extensions.failed()) return broken;
    if (type != kServerNameExtension) continue;
    std::optional<std::string> name = ServerName(data);
    // RFC 8446, 4.2: never twice. Whom would the server believe?
    if (!name.has_value() || seen) return broken;
    seen = true;
    parsed.server_name = *std::move(name);
  }
  return parsed;
}

enum class RecordKind {
  kNone,       // no server takes it for TLS
  kUndecided,  // with so few bytes
  kHandshake,
  kOther,  // not how a client begins, but some server may take it and go on
};

RecordKind KindOf(Bytes header) {
  if ((header[0] & 0x80) != 0) {  // a hello in the form of SSL 2 (RFC 5246, E.2)
    if (header.size() > 2 && header[2] != kClientHelloMessage) return RecordKind::kNone;
    if (header.size() < 4) return RecordKind::kUndecided;
    return header[3] == kTlsMajorVersion ? RecordKind::kOther : RecordKind::kNone;
  }
  if (header[0] < kFirstRecordType || header[0] > kLastRecordType) return RecordKind::kNone;
  if (header.size() < 2) return RecordKind::kUndecided;
  if (header[1] > kMaxMajorVersion) return RecordKind::kNone;
  const bool usual = header[0] == kHandshakeRecord && header[1] == kTlsMajorVersion;
  return usual ? RecordKind::kHandshake : RecordKind::kOther;
}

}  // namespace

void ClientHelloReader::End(ClientHello hello) {
  hello_ = std::move(hello);
  std::string().swap(message_);
}

void ClientHelloReader::GiveUp() {
  if (hello_.state != ClientHello::State::kNeedsMore) return;
  const bool nothing = header_size_ == 0 && !any_record_;
  End({.state = nothing ? ClientHello::State::kNotTls : ClientHello::State::kBroken});
}

void ClientHelloReader::Read(Bytes bytes) {
  while (!bytes.empty() && hello_.state == ClientHello::State::kNeedsMore) {
    if (record_left_ > 0) {
      bytes = ReadMessage(bytes);
    } else {
      ReadHeader(bytes[0]);
      bytes.remove_prefix(1);
    }
  }
}

void ClientHelloReader::ReadHeader(uint8_t byte) {
  header_[header_size_++] = byte;
  const RecordKind kind = KindOf({header_, header_size_});
  if (kind == RecordKind::kNone && !any_record_) return End({.state = ClientHello::State::kNotTls});
  if (kind == RecordKind::kNone || kind == RecordKind::kOther) {
    return End({.state = ClientHello::State::kBroken});
  }
  if (header_size_ < kRecordHeaderBytes) return;
  header_size_ = 0;
  any_record_ = true;
  record_left_ = Load16(&header_[3]);
  if (record_left_ == 0 || record_left_ > kMaxRecordBytes) {
    End({.state = ClientHello::State::kBroken});
  }
}

// Returns what is left of `bytes`.
Bytes ClientHelloReader::ReadMessage(Bytes bytes) {
  const Bytes part = bytes.first(std::min(record_left_, bytes.size()));
  message_.append(reinterpret_cast<const char*>(part.data()), part.size());
  record_left_ -= part.size();
  bytes.remove_prefix(part.size());
  const Bytes whole(reinterpret_cast<const uint8_t*>(message_.data()), message_.size());
  if (whole[0] != kClientHelloMessage) {
    End({.state = ClientHello::State::kBroken});
  } else if (whole.size() >= kMessageHeaderBytes) {
    const size_t size = size_t{whole[1]} << 16 | Load16(&whole[2]);
    if (size > kMaxClientHelloBytes) {
      End({.state = ClientHello::State::kBroken});
    } else if (whole.size() >= kMessageHeaderBytes + size) {
      End(ParseMessage(whole.subspan(kMessageHeaderBytes, size)));
    }
  }
  return bytes;
}

ClientHello ParseClientHello(absl::string_view text) {
  ClientHelloReader reader;
  reader.Read({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return reader.hello();
}

}  // namespace msb::net
