// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, sections 2.1, 2.2 and 6: what all devices share. Values and layouts only.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_DEVICE_H_

#include <cstdint>

namespace msb::virtio {

// 2.1: the device status field.
inline constexpr uint32_t kStatusAcknowledge = 0x01;
inline constexpr uint32_t kStatusDriver = 0x02;
inline constexpr uint32_t kStatusDriverOk = 0x04;
inline constexpr uint32_t kStatusFeaturesOk = 0x08;
inline constexpr uint32_t kStatusNeedsReset = 0x40;  // the device's, all others are the driver's
inline constexpr uint32_t kStatusFailed = 0x80;

// 6: feature bits that no single device owns.
inline constexpr uint64_t kFeatureIndirectDescriptors = uint64_t{1} << 28;
inline constexpr uint64_t kFeatureEventIndex = uint64_t{1} << 29;
inline constexpr uint64_t kFeatureVersion1 = uint64_t{1} << 32;

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_DEVICE_H_
