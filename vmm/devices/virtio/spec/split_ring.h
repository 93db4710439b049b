// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, section 2.7: split virtqueues. Values and layouts only; all fields little-endian.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_SPLIT_RING_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_SPLIT_RING_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace msb::virtio {

static_assert(std::endian::native == std::endian::little, "the rings are little-endian");

inline constexpr uint16_t kMaxQueueSize = 32768;  // 2.7

// 2.7.5: an element of the descriptor table, and of an indirect table (2.7.5.3).
struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == 16);

inline constexpr uint16_t kDescriptorNext = 1;      // continues at `next`
inline constexpr uint16_t kDescriptorWrite = 2;     // device to driver
inline constexpr uint16_t kDescriptorIndirect = 4;  // the buffer is a table of descriptors

// 2.7.5: "descriptor chains [not] longer than 2^32 bytes in total".
inline constexpr uint64_t kMaxChainBytes = uint64_t{1} << 32;

// 2.7.6: the available ring is flags, index, an element a descriptor, used_event.
inline constexpr uint16_t kAvailableNoInterrupt = 1;
inline constexpr size_t kAvailableFlagsOffset = 0;
inline constexpr size_t kAvailableIndexOffset = 2;
inline constexpr size_t kAvailableRingOffset = 4;
constexpr uint64_t AvailableBytes(uint16_t size) { return 6 + uint64_t{2} * size; }
constexpr size_t UsedEventOffset(uint16_t size) { return 4 + size_t{2} * size; }

// 2.7.8: the used ring is flags, index, an element a descriptor, avail_event.
struct UsedElement {
  uint32_t id;      // the head of the chain
  uint32_t length;  // bytes that the device wrote
  friend bool operator==(const UsedElement&, const UsedElement&) = default;
};
static_assert(sizeof(UsedElement) == 8);
inline constexpr uint16_t kUsedNoNotify = 1;
inline constexpr size_t kUsedFlagsOffset = 0;
inline constexpr size_t kUsedIndexOffset = 2;
inline constexpr size_t kUsedRingOffset = 4;
constexpr uint64_t UsedBytes(uint16_t size) { return 6 + uint64_t{8} * size; }
constexpr size_t AvailableEventOffset(uint16_t size) { return 4 + size_t{8} * size; }

// 2.7: alignment of the three parts.
inline constexpr uint64_t kDescriptorTableAlignment = 16;
inline constexpr uint64_t kDriverAreaAlignment = 2;
inline constexpr uint64_t kDeviceAreaAlignment = 4;

// 2.7.7.2 and 2.7.10.1: whether moving an index from `old_index` to `new_index` passes `event`.
constexpr bool NeedsEvent(uint16_t event, uint16_t new_index, uint16_t old_index) {
  return static_cast<uint16_t>(new_index - event - 1) <
         static_cast<uint16_t>(new_index - old_index);
}

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_SPLIT_RING_H_
