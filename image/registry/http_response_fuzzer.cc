// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// HTTP responses: how they are cut into pieces changes nothing.

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "image/registry/http_response.h"

namespace msb::image {
namespace {

struct Outcome {
  bool ok = false;
  int status = 0;
  std::string body;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome Read(absl::string_view bytes, size_t piece) {
  Outcome outcome;
  ResponseParser parser([&](const ResponseHead&, absl::string_view body) {
    outcome.body.append(body.data(), body.size());
    return absl::OkStatus();
  });
  std::string buffer;
  size_t given = 0;
  while (!parser.is_done()) {
    if (given == bytes.size()) {
      outcome.ok = parser.PutEnd().ok();
      outcome.status = parser.head().status;
      return outcome;
    }
    const size_t count = std::min(piece, bytes.size() - given);
    buffer.append(bytes.data() + given, count);
    given += count;
    const auto used = parser.Put(buffer);
    if (!used.ok()) return outcome;
    MSB_CHECK(*used <= buffer.size());
    buffer.erase(0, *used);
  }
  outcome.ok = true;
  outcome.status = parser.head().status;
  return outcome;
}

void Fuzz(absl::string_view bytes) {
  if (bytes.empty()) return;
  const Outcome whole = Read(bytes, bytes.size());
  const Outcome cut = Read(bytes, 1 + bytes.size() / 7);
  // An error may be found a piece earlier or later, with less of the body given out.
  if (whole.ok && cut.ok) MSB_CHECK(whole == cut);
  MSB_CHECK(whole.ok == cut.ok);
}

}  // namespace
}  // namespace msb::image

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::image::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
