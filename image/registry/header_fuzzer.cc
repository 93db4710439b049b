// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Texts in headers: challenges, locations, ranges. What is accepted can go into a request of ours.

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "image/registry/blob_download.h"
#include "image/registry/challenge.h"
#include "image/registry/url.h"

namespace msb::image {
namespace {

void CheckUrl(const absl::StatusOr<Url>& url) {
  if (!url.ok()) return;
  MSB_CHECK(!url->host.empty() && url->port != 0 && url->target.front() == '/');
  const std::string text = url->ToString();
  MSB_CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; }));
  const auto again = ParseUrl(text);
  MSB_CHECK(again.ok() && IsSameOrigin(*again, *url) && again->target == url->target);
}

void Fuzz(absl::string_view text) {
  for (const Challenge& challenge : ParseChallenges(text)) {
    MSB_CHECK(!challenge.scheme.empty());
    CheckUrl(ParseUrl(challenge.Get("realm")));
  }
  const Url base{.host = "a.example", .target = "/v2/x?y"};
  CheckUrl(ParseUrl(text));
  CheckUrl(ResolveReference(base, text));
  CheckUrl(UrlOfEndpoint(text, /*tls=*/false));
  const auto range = ParseContentRange(text);
  if (range.has_value() && range->total.has_value()) MSB_CHECK(range->first < *range->total);
}

}  // namespace
}  // namespace msb::image

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::image::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
