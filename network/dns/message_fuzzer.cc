// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// DNS messages of a hostile guest, and of a hostile server.

#include <cstdint>
#include <optional>
#include <string>

#include "base/check.h"
#include "network/dns/message.h"

namespace msb::net {
namespace {

void Fuzz(const uint8_t* data, size_t size) {
  const Bytes message(data, size);
  if (const std::optional<DnsQuery> query = ParseDnsQuery(message)) {
    const std::string answer = MakeDnsAnswer(message, *query, DnsCode::kRefused);
    const Bytes bytes(reinterpret_cast<const uint8_t*>(answer.data()), answer.size());
    const std::optional<DnsAnswer> parsed = ParseDnsAnswer(bytes);
    MSB_CHECK(parsed.has_value() && parsed->question.name == query->name);
  }
  (void)ParseDnsAnswer(message);
}

}  // namespace
}  // namespace msb::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::net::Fuzz(data, size);
  return 0;
}
