// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Takes a fuzzer's input apart. When it is used up, everything is zero.

#ifndef MSB_TESTS_SUPPORT_FUZZ_INPUT_H_
#define MSB_TESTS_SUPPORT_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "absl/types/span.h"

namespace msb {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }

  template <typename T>
  T Take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    const absl::Span<const uint8_t> bytes = TakeBytes(sizeof(T));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }

  // Up to `count` bytes, fewer at the end.
  absl::Span<const uint8_t> TakeBytes(size_t count) {
    const absl::Span<const uint8_t> bytes = rest_.subspan(0, count);
    rest_.remove_prefix(bytes.size());
    return bytes;
  }

 private:
  absl::Span<const uint8_t> rest_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_FUZZ_INPUT_H_
