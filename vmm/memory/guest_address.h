// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Guest-physical addresses.

#ifndef MSB_VMM_MEMORY_GUEST_ADDRESS_H_
#define MSB_VMM_MEMORY_GUEST_ADDRESS_H_

#include <cstdint>
#include <limits>
#include <optional>

namespace msb {

// A guest-physical address: cannot be dereferenced or added to by accident. Only GuestMemory turns
// it into host bytes.
enum class GuestAddress : uint64_t {};

constexpr uint64_t ToUint64(GuestAddress address) { return static_cast<uint64_t>(address); }

// `address` + `offset`; nullopt when that wraps past the top of the address space.
constexpr std::optional<GuestAddress> Offset(GuestAddress address, uint64_t offset) {
  const uint64_t start = ToUint64(address);
  if (start > std::numeric_limits<uint64_t>::max() - offset) return std::nullopt;
  return GuestAddress{start + offset};
}

struct GuestRange {
  GuestAddress start{};
  uint64_t size = 0;
};

// One past the last byte; nullopt when the range wraps.
constexpr std::optional<GuestAddress> End(GuestRange range) {
  return Offset(range.start, range.size);
}

}  // namespace msb

#endif  // MSB_VMM_MEMORY_GUEST_ADDRESS_H_
