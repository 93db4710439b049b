// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A port to which a guest without a vsock driver (a test guest of a few instructions) writes how
// far it has come: a byte, a number of msb.agent.v1.BootMark.Stage. The agent of a real guest uses
// the vsock service instead.

#ifndef MSB_VMM_DEVICES_LEGACY_BOOT_MARK_PORT_H_
#define MSB_VMM_DEVICES_LEGACY_BOOT_MARK_PORT_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/types/span.h"
#include "vmm/bus/bus.h"

namespace msb {

class BootMarkPort final : public BusDevice {
 public:
  // `mark` gets the byte as the guest wrote it, on that vCPU's thread.
  explicit BootMarkPort(std::function<void(uint8_t stage)> mark) : mark_(std::move(mark)) {}

  void Read(uint64_t, absl::Span<uint8_t> data) override {
    std::fill(data.begin(), data.end(), uint8_t{0xff});
  }
  void Write(uint64_t, absl::Span<const uint8_t> data) override { mark_(data[0]); }

 private:
  const std::function<void(uint8_t)> mark_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_LEGACY_BOOT_MARK_PORT_H_
