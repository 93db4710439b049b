// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The first bytes of a connection: more of them never take back a verdict.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "network/tls/client_hello.h"

namespace msb::net {
namespace {

void Fuzz(const uint8_t* data, size_t size) {
  const absl::string_view whole(reinterpret_cast<const char*>(data), size);
  const ClientHello hello = ParseClientHello(whole);
  for (size_t cut = 0; cut < size; cut += 1 + size / 16) {
    const ClientHello part = ParseClientHello(whole.substr(0, cut));
    if (part.state == ClientHello::State::kNeedsMore) continue;
    MSB_CHECK(part.state == hello.state && part.server_name == hello.server_name);
  }
}

}  // namespace
}  // namespace msb::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::net::Fuzz(data, size);
  return 0;
}
