// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// DNS messages (RFC 1035): as much as a resolver needs that passes them on. Pure, on hostile bytes
// from both sides.

#ifndef MSB_NETWORK_DNS_MESSAGE_H_
#define MSB_NETWORK_DNS_MESSAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "network/packet/wire.h"
#include "network/policy/address.h"

namespace msb::net {

inline constexpr uint16_t kDnsA = 1;
inline constexpr uint16_t kDnsAaaa = 28;
inline constexpr uint16_t kDnsSvcb = 64;
inline constexpr uint16_t kDnsHttps = 65;
inline constexpr uint16_t kDnsAny = 255;  // RFC 8482
std::string DnsTypeName(uint16_t type);   // "A", "TYPE99"

enum class DnsCode : uint8_t {
  kOk = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNoSuchName = 3,
  kNotImplemented = 4,
  kRefused = 5,
};

inline constexpr size_t kDnsHeaderBytes = 12;
inline constexpr size_t kMaxDnsMessageBytes = 65535;

struct DnsQuery {
  uint16_t id = 0;
  std::string name;  // lower case, without a dot at its end; "" is the root
  uint16_t type = 0;
  size_t question_end = 0;  // offset behind the one question
};
// nullopt for what is no query with exactly one question of class IN.
std::optional<DnsQuery> ParseDnsQuery(Bytes message);

struct DnsAnswer {
  DnsQuery question;
  DnsCode code = DnsCode::kOk;
  bool truncated = false;
  std::vector<IpAddress> addresses;  // of the answer section's A and AAAA records
  uint32_t ttl = 0;                  // seconds; the least of those
};
// nullopt for what is no response with exactly one question.
std::optional<DnsAnswer> ParseDnsAnswer(Bytes message);

// The answer to `query` without records.
std::string MakeDnsAnswer(Bytes query, const DnsQuery& parsed, DnsCode code);

// The answer to `query` with those of `addresses` that are of its type, for `ttl` seconds.
std::string MakeDnsAnswerWith(Bytes query, const DnsQuery& parsed,
                              const std::vector<IpAddress>& addresses, uint32_t ttl);

// The question of `answer` alone, marked as cut: to be asked over TCP (RFC 2181, 9). "" for what is
// no answer.
std::string TruncateDnsAnswer(Bytes answer);

// The same message with another id.
std::string WithDnsId(Bytes message, uint16_t id);

}  // namespace msb::net

#endif  // MSB_NETWORK_DNS_MESSAGE_H_
