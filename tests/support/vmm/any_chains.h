// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Chains that a fuzzer's input describes, in the queues of a FakeGuest.

#ifndef MSB_TESTS_SUPPORT_VMM_ANY_CHAINS_H_
#define MSB_TESTS_SUPPORT_VMM_ANY_CHAINS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb {

class AnyChains {
 public:
  static constexpr size_t kMaxBuffers = 6;  // of a chain, either way

  // Both outlive this. `descriptors`: so many are used in all, none twice.
  AnyChains(FuzzInput& input, FakeGuest& guest, size_t descriptors)
      : input_(input), guest_(guest), left_(descriptors) {}

  uint8_t Byte() { return input_.Take<uint8_t>(); }
  // As much of the input as there is.
  std::string Text(size_t size) {
    const absl::Span<const uint8_t> bytes = input_.TakeBytes(size);
    return std::string(bytes.begin(), bytes.end());
  }
  // Both are false when there are not as many descriptors any more.
  bool Add(FakeQueue& queue, const std::vector<FakeBuffer>& buffers) {
    if (buffers.size() > left_) return false;
    left_ -= buffers.size();
    queue.AddChain(buffers);
    return true;
  }
  bool AddAny(FakeQueue& queue) {
    std::vector<FakeBuffer> buffers;
    for (size_t left = Byte() % kMaxBuffers; left > 0; --left) {
      buffers.push_back(guest_.Readable(Text(Byte()) + "."));
    }
    for (size_t left = Byte() % kMaxBuffers; left > 0; --left) {
      buffers.push_back(guest_.Writable(1u + Byte()));
    }
    return buffers.empty() || Add(queue, buffers);
  }

 private:
  FuzzInput& input_;
  FakeGuest& guest_;
  size_t left_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_ANY_CHAINS_H_
