// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A place of a machine for a virtio device, without one (VIRTIO 1.2, 4.2.2: device ID 0). The
// driver passes it over, and may look again later.

#ifndef MSB_VMM_DEVICES_VIRTIO_EMPTY_PLACE_H_
#define MSB_VMM_DEVICES_VIRTIO_EMPTY_PLACE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "vmm/bus/bus.h"
#include "vmm/devices/virtio/spec/mmio.h"

namespace msb {

class EmptyPlace final : public BusDevice {
 public:
  void Read(uint64_t offset, absl::Span<uint8_t> data) override {
    std::fill(data.begin(), data.end(), uint8_t{0});
    const uint32_t value = ValueAt(offset);
    if (data.size() == sizeof(value)) std::memcpy(data.data(), &value, sizeof(value));
  }
  void Write(uint64_t, absl::Span<const uint8_t>) override {}

 private:
  static uint32_t ValueAt(uint64_t offset) {
    using virtio::MmioRegister;
    if (offset == static_cast<uint64_t>(MmioRegister::kMagic)) return virtio::kMmioMagic;
    if (offset == static_cast<uint64_t>(MmioRegister::kVersion)) return virtio::kMmioVersion;
    return 0;
  }
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_EMPTY_PLACE_H_
