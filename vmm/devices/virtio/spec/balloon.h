// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, section 5.5: memory balloon. Values and layouts only; all fields little-endian.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_BALLOON_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_BALLOON_H_

#include <cstdint>

namespace msb::virtio {

// 5.5.3.
inline constexpr uint64_t kBalloonFeatureDeflateOnOom = uint64_t{1} << 2;
inline constexpr uint64_t kBalloonFeatureReporting = uint64_t{1} << 5;

// 5.5.6: the balloon's page, whatever the page size of guest and host.
inline constexpr uint64_t kBalloonPageBytes = 4096;

// 5.5.4, as far as it exists without the features of free page hints and page poison.
struct BalloonConfig {
  uint32_t target_pages;  // "num_pages": the device's wish
  uint32_t actual_pages;  // written by the driver
};
static_assert(sizeof(BalloonConfig) == 8);

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_BALLOON_H_
