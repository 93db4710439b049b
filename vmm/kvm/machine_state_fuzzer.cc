// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The state file of a saved machine: whatever it holds is refused, or says the same when it is
// written again.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "vmm/kvm/machine_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto state = msb::DecodeMachineState({reinterpret_cast<const char*>(data), size});
  if (!state.ok()) return 0;
  const std::string encoded = msb::EncodeMachineState(*state);
  const auto again = msb::DecodeMachineState(encoded);
  MSB_CHECK(again.ok());
  MSB_CHECK(msb::EncodeMachineState(*again) == encoded);
  return 0;
}
