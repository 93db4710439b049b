// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, section 5.10: socket device. Values and layouts only; all fields little-endian.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_VSOCK_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_VSOCK_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace msb::virtio {

static_assert(std::endian::native == std::endian::little, "the packets are little-endian");

// 5.10.2: virtqueues.
inline constexpr uint16_t kVsockRxQueue = 0;  // device to driver
inline constexpr uint16_t kVsockTxQueue = 1;  // driver to device
inline constexpr uint16_t kVsockEventQueue = 2;

// 5.10.3: feature bits.
inline constexpr uint64_t kVsockFeatureStream = uint64_t{1} << 0;
inline constexpr uint64_t kVsockFeatureSeqPacket = uint64_t{1} << 1;

// 5.10.4: context ids. 0, 1 and the upper half of the field are reserved.
inline constexpr uint64_t kVsockHostCid = 2;
inline constexpr uint64_t kVsockFirstGuestCid = 3;
inline constexpr uint64_t kVsockLastGuestCid = 0xffff'fffe;
struct VsockConfig {
  uint64_t guest_cid;
};
static_assert(sizeof(VsockConfig) == 8);

// 5.10.6: operations.
enum class VsockOp : uint16_t {
  kInvalid = 0,
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kReadWrite = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// 5.10.6.2: addressing.
enum class VsockType : uint16_t { kStream = 1, kSeqPacket = 2 };

// 5.10.6.5: flags of kShutdown; permanent once sent.
inline constexpr uint32_t kVsockShutdownReceive = 1;  // the sender will receive no more
inline constexpr uint32_t kVsockShutdownSend = 2;     // the sender will send no more
inline constexpr uint32_t kVsockShutdownBoth = kVsockShutdownReceive | kVsockShutdownSend;

// 5.10.6: in front of every packet; `length` bytes of payload follow.
struct [[gnu::packed]] VsockHeader {
  uint64_t src_cid;
  uint64_t dst_cid;
  uint32_t src_port;
  uint32_t dst_port;
  uint32_t length;
  VsockType type;
  VsockOp op;
  uint32_t flags;
  uint32_t buf_alloc;
  uint32_t fwd_cnt;
};
static_assert(sizeof(VsockHeader) == 44);

// 5.10.6.7: events.
enum class VsockEventId : uint32_t { kTransportReset = 0 };
struct VsockEvent {
  VsockEventId id;
};
static_assert(sizeof(VsockEvent) == 4);

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_VSOCK_H_
