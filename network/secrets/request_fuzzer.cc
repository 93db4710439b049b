// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A hostile guest's requests. The first byte says how they are cut. Whatever they are: where they
// are cut changes nothing of what the host gets, the value never goes out behind a request for
// another host, and one that may go nowhere never goes out.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "network/secrets/request_rewriter.h"
#include "network/secrets/response_mask.h"

namespace msb::net {
namespace {

constexpr char kMark[] = "msbsecret_0123456789abcdef0123456789abcdef";
constexpr char kOther[] = "msbsecret_ffffffffffffffffffffffffffffffff";
constexpr char kNever[] = "VALUE-THAT-GOES-NOWHERE";

struct Outcome {
  bool understood = true;
  std::string out;
  size_t used = 0;
};

Outcome Run(absl::string_view bytes, size_t piece) {
  const std::vector<Substitute> substitutes = {
      {.name = "A", .placeholder = kMark, .value = "value", .allowed = true},
      {.name = "B", .placeholder = kOther, .value = kNever, .allowed = false}};
  Outcome outcome;
  RequestRewriter rewriter("a.com", 443, substitutes, RequestLimits(),
                           {.on_used = [&](const Substitute&) { ++outcome.used; },
                            .on_spelled = [](absl::string_view) {},
                            .on_withheld = [](const Substitute&, absl::string_view) {}});
  while (!bytes.empty() && outcome.understood) {
    const absl::string_view part = bytes.substr(0, piece);
    outcome.understood = rewriter.Feed(part, outcome.out).ok();
    bytes.remove_prefix(part.size());
  }
  return outcome;
}

// Chunks are cut anew as the bytes come, so only what is in them has to be the same.
bool HasChunks(absl::string_view bytes) {
  std::string lower(bytes);
  std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
  return lower.find("chunked") != std::string::npos;
}

void Fuzz(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const absl::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const Outcome whole = Run(bytes, bytes.size() + 1);
  const Outcome cut = Run(bytes, 1 + data[0] % 64);
  MSB_CHECK(whole.out.find(kNever) == std::string::npos);
  MSB_CHECK(whole.understood == cut.understood);
  if (whole.understood && !HasChunks(bytes)) MSB_CHECK(whole.out == cut.out);
  if (whole.understood) MSB_CHECK(whole.used == cut.used);

  // The same bytes as a host's answers.
  ResponseMask mask;
  mask.Add(bytes.substr(0, std::min<size_t>(bytes.size(), 12)));
  mask.Add("GET / HTTP/1.1");
  std::string masked;
  for (size_t at = 0; at < bytes.size(); at += 1 + data[0] % 16) {
    mask.Feed(bytes.substr(at, 1 + data[0] % 16), masked);
  }
  mask.Finish(masked);
  MSB_CHECK(masked.size() == bytes.size());
}

}  // namespace
}  // namespace msb::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::net::Fuzz(data, size);
  return 0;
}
