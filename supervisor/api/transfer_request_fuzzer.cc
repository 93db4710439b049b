// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Any bytes as what a client sends that asks for a transfer, whole and in pieces: the outcome is
// the same, and a request that passes is of one operation of the agent.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "supervisor/api/transfer_request.h"

namespace msb {
namespace {

struct Outcome {
  Reason reason = Reason::kUnspecified;
  std::string open;  // serialised, with the sandbox before it; empty: none was whole
};

Outcome Feed(absl::string_view bytes, size_t piece) {
  TransferRequestReader reader;
  Outcome outcome;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const auto taken = reader.Take(bytes.substr(0, piece));
    if (!taken.ok()) {
      MSB_CHECK(!taken.status().message().empty());
      outcome.reason = ReasonOf(taken.status());
      MSB_CHECK(outcome.reason != Reason::kUnspecified);
      return outcome;
    }
    if (!*taken) continue;
    const msb::agent::v1::Open& open = (*taken)->open;
    MSB_CHECK(open.has_read_file() || open.has_write_file() || open.has_read_tree() ||
              open.has_write_tree());
    outcome.open = (*taken)->sandbox + open.SerializePartialAsString();
  }
  return outcome;
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const msb::Outcome whole = msb::Feed(bytes, SIZE_MAX);
  const msb::Outcome pieces = msb::Feed(bytes, 1);
  // What comes behind a request is seen later in pieces, and is an error in both.
  MSB_CHECK(whole.reason == pieces.reason);
  if (whole.reason == msb::Reason::kUnspecified) MSB_CHECK(whole.open == pieces.open);
  return 0;
}
