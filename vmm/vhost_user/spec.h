// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The vhost-user protocol (QEMU's docs/interop/vhost-user.rst): the part that this back end speaks.
// Values and layouts only; numbers in the byte order of the machine.

#ifndef MSB_VMM_VHOST_USER_SPEC_H_
#define MSB_VMM_VHOST_USER_SPEC_H_

#include <cstddef>
#include <cstdint>

namespace msb::vhost_user {

// "Message types", front end to back end.
enum class Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemoryTable = 5,
  kSetRingSize = 8,     // SET_VRING_NUM
  kSetRingAddress = 9,  // SET_VRING_ADDR
  kSetRingBase = 10,
  kGetRingBase = 11,
  kSetRingKick = 12,
  kSetRingCall = 13,
  kSetRingError = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNumber = 17,
  kSetRingEnable = 18,
  kGetConfig = 24,
  kSetConfig = 25,
  kResetDevice = 34,
};

// "Header". Bits 0 and 1 of `flags` are the version.
struct Header {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // of the payload
};
static_assert(sizeof(Header) == 12);
inline constexpr uint32_t kVersionMask = 0x3;
inline constexpr uint32_t kVersion = 0x1;
inline constexpr uint32_t kFlagReply = 1u << 2;
inline constexpr uint32_t kFlagNeedReply = 1u << 3;

// The greatest payload is the memory table, or a device's whole config space.
inline constexpr size_t kMaxPayloadBytes = 512;
// "Memory regions description": at most 8, a descriptor each. No message brings more.
inline constexpr size_t kMaxMemoryRegions = 8;
inline constexpr size_t kMaxDescriptors = kMaxMemoryRegions;

// "Protocol features", by bit.
inline constexpr uint64_t kProtocolMultiQueue = uint64_t{1} << 0;
inline constexpr uint64_t kProtocolReplyAck = uint64_t{1} << 3;
inline constexpr uint64_t kProtocolConfig = uint64_t{1} << 9;
inline constexpr uint64_t kProtocolResetDevice = uint64_t{1} << 13;

// Bit 30 of the virtio features says that protocol features can be negotiated.
inline constexpr uint64_t kFeatureProtocolFeatures = uint64_t{1} << 30;

// QEMU's VIRTQUEUE_MAX_SIZE: what its virtio-mmio offers a driver for every queue, whatever the
// maximum of the device's own (the protocol has no message for that).
inline constexpr uint32_t kMaxRingSize = 1024;

// "A vring state description".
struct RingState {
  uint32_t index;
  uint32_t value;
};
static_assert(sizeof(RingState) == 8);

// "A vring address description". The three parts are addresses in the front end's address space.
struct RingAddress {
  uint32_t index;
  uint32_t flags;  // bit 0: log writes to the used ring
  uint64_t descriptor_table;
  uint64_t device_area;  // "used"
  uint64_t driver_area;  // "available"
  uint64_t log;
};
static_assert(sizeof(RingAddress) == 40);
static_assert(offsetof(RingAddress, driver_area) == 24);

// "Memory regions description".
struct MemoryRegion {
  uint64_t guest_address;
  uint64_t size;
  uint64_t user_address;
  uint64_t file_offset;
  friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};
static_assert(sizeof(MemoryRegion) == 32);
struct MemoryTableHeader {
  uint32_t regions;
  uint32_t padding;
};
static_assert(sizeof(MemoryTableHeader) == 8);
static_assert(sizeof(MemoryTableHeader) + kMaxMemoryRegions * sizeof(MemoryRegion) <=
              kMaxPayloadBytes);

// The u64 that comes with a ring's descriptor: the ring, and whether there is none ("poll").
inline constexpr uint64_t kRingIndexMask = 0xff;
inline constexpr uint64_t kRingNoDescriptor = 1u << 8;

// "Virtio device config space"; `size` bytes follow.
struct ConfigHeader {
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
};
static_assert(sizeof(ConfigHeader) == 12);
inline constexpr uint32_t kMaxConfigBytes = 256;  // QEMU's VHOST_USER_MAX_CONFIG_SIZE
static_assert(sizeof(ConfigHeader) + kMaxConfigBytes <= kMaxPayloadBytes);

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_SPEC_H_
