// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, section 5.1: network device. Values and layouts only; all fields little-endian.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_NET_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_NET_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace msb::virtio {

static_assert(std::endian::native == std::endian::little, "the headers are little-endian");

// 5.1.2: virtqueues of a device with one pair.
inline constexpr uint16_t kNetRxQueue = 0;  // device to driver
inline constexpr uint16_t kNetTxQueue = 1;  // driver to device

// 5.1.3: feature bits.
inline constexpr uint64_t kNetFeatureChecksum = uint64_t{1} << 0;
inline constexpr uint64_t kNetFeatureGuestChecksum = uint64_t{1} << 1;
inline constexpr uint64_t kNetFeatureMtu = uint64_t{1} << 3;
inline constexpr uint64_t kNetFeatureMac = uint64_t{1} << 5;
inline constexpr uint64_t kNetFeatureMergeableBuffers = uint64_t{1} << 15;
inline constexpr uint64_t kNetFeatureStatus = uint64_t{1} << 16;

// 5.1.4: configuration space.
inline constexpr uint16_t kNetStatusLinkUp = 1;
struct [[gnu::packed]] NetConfig {
  uint8_t mac[6];
  uint16_t status;
  uint16_t max_virtqueue_pairs;
  uint16_t mtu;
};
static_assert(sizeof(NetConfig) == 12);

// 5.1.6: before every frame, in both directions.
inline constexpr uint8_t kNetHeaderNeedsChecksum = 1;
inline constexpr uint8_t kNetHeaderDataValid = 2;
inline constexpr uint8_t kNetGsoNone = 0;
struct NetHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t header_length;
  uint16_t gso_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
  uint16_t buffers;  // how many this frame was put into; 1 without mergeable buffers
};
static_assert(sizeof(NetHeader) == 12);

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_NET_H_
