// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A 16550A serial port that only transmits: the guest's console. The transmitter is always empty,
// the receiver never has a byte, the baud rate means nothing.
//
// Threading: Read and Write on any vCPU thread; Save and Restore while none runs.

#ifndef MSB_VMM_DEVICES_LEGACY_SERIAL_H_
#define MSB_VMM_DEVICES_LEGACY_SERIAL_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "msb/vmm/v1/state.pb.h"
#include "vmm/bus/bus.h"

namespace msb {

class Serial final : public BusDevice {
 public:
  // `transmit` takes each byte that the guest sends, and `interrupt` raises the port's line (an
  // edge). Both are called on the thread of the access, one call at a time.
  using Transmit = std::function<void(uint8_t byte)>;
  using Interrupt = std::function<void()>;
  Serial(Transmit transmit, Interrupt interrupt)
      : transmit_(std::move(transmit)), interrupt_(std::move(interrupt)) {}

  // Eight ports.
  static constexpr uint64_t kPorts = 8;
  void Read(uint64_t offset, absl::Span<uint8_t> data) override;
  void Write(uint64_t offset, absl::Span<const uint8_t> data) override;

  msb::vmm::v1::SerialState Save() const;
  // kStateInvalid for what Save cannot have written.
  absl::Status Restore(const msb::vmm::v1::SerialState& state);

 private:
  uint8_t ReadRegister(uint64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteRegister(uint64_t index, uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t InterruptIdentification() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ModemStatus() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TransmitterBecameEmpty() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool divisor_latched() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Transmit transmit_;
  const Interrupt interrupt_;
  mutable absl::Mutex mutex_;
  uint8_t interrupt_enable_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t line_control_ ABSL_GUARDED_BY(mutex_) = 0x03;   // 8 bits, no parity
  uint8_t modem_control_ ABSL_GUARDED_BY(mutex_) = 0x08;  // OUT2: interrupts pass
  uint8_t scratch_ ABSL_GUARDED_BY(mutex_) = 0;
  uint16_t divisor_ ABSL_GUARDED_BY(mutex_) = 0x0c;        // 9600 baud
  bool transmit_pending_ ABSL_GUARDED_BY(mutex_) = false;  // "transmitter empty" is not yet told
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_LEGACY_SERIAL_H_
