// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Any text as a rule: what is taken has a canonical text that means the same.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "network/policy/rule.h"

namespace msb::net {
namespace {

void Fuzz(const uint8_t* data, size_t size) {
  const absl::StatusOr<Rule> rule = ParseRule({reinterpret_cast<const char*>(data), size});
  if (!rule.ok()) return;
  const absl::StatusOr<Rule> again = ParseRule(rule->ToString());
  MSB_CHECK(again.ok() && *again == *rule);
}

}  // namespace
}  // namespace msb::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::net::Fuzz(data, size);
  return 0;
}
