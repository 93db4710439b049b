// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The one thing that Linux still asks of an i8042 keyboard controller: command 0xfe, a reset of the
// machine (reboot=k). There is no keyboard; the controller is always idle.

#ifndef MSB_VMM_DEVICES_LEGACY_RESET_PORT_H_
#define MSB_VMM_DEVICES_LEGACY_RESET_PORT_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/types/span.h"
#include "vmm/bus/bus.h"

namespace msb {

// Stands at port 0x64, the controller's command and status register.
class ResetPort final : public BusDevice {
 public:
  // `reset` is called on the vCPU thread that wrote the command.
  explicit ResetPort(std::function<void()> reset) : reset_(std::move(reset)) {}

  static constexpr uint8_t kResetCommand = 0xfe;

  void Read(uint64_t, absl::Span<uint8_t> data) override {
    std::fill(data.begin(), data.end(), uint8_t{0});  // both buffers empty
  }
  void Write(uint64_t, absl::Span<const uint8_t> data) override {
    if (data[0] == kResetCommand) reset_();
  }

 private:
  const std::function<void()> reset_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_LEGACY_RESET_PORT_H_
