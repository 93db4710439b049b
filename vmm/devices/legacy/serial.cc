// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/legacy/serial.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb {
namespace {

// Registers (National Semiconductor PC16550D, table of registers). 0 and 1 are the divisor's halves
// while kDivisorLatch is set.
enum Register : uint64_t {
  kData = 0,
  kInterruptEnable = 1,
  kInterruptIdentification = 2,  // written: FIFO control
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
  kModemStatus = 6,
  kScratch = 7,
};

constexpr uint8_t kDivisorLatch = 0x80;            // line control
constexpr uint8_t kEnableTransmitterEmpty = 0x02;  // interrupt enable
constexpr uint8_t kInterruptEnableBits = 0x0f;
constexpr uint8_t kModemControlBits = 0x1f;
constexpr uint8_t kNoInterrupt = 0x01;  // interrupt identification
constexpr uint8_t kTransmitterEmpty = 0x02;
constexpr uint8_t kFifosEnabled = 0xc0;     // always: it tells a 16550A from an 8250
constexpr uint8_t kLineStatusIdle = 0x60;   // holding register and shift register are empty
constexpr uint8_t kLoop = 0x10;             // modem control
constexpr uint8_t kModemStatusIdle = 0xb0;  // carrier, data set ready, clear to send

}  // namespace

bool Serial::divisor_latched() const { return (line_control_ & kDivisorLatch) != 0; }

void Serial::Read(uint64_t offset, absl::Span<uint8_t> data) {
  // The registers are bytes: a wider access gets one, and zeros.
  std::fill(data.begin(), data.end(), uint8_t{0});
  absl::MutexLock lock(&mutex_);
  data[0] = ReadRegister(offset);
}

void Serial::Write(uint64_t offset, absl::Span<const uint8_t> data) {
  absl::MutexLock lock(&mutex_);
  WriteRegister(offset, data[0]);
}

uint8_t Serial::ReadRegister(uint64_t index) {
  switch (index) {
    case kData:
      return divisor_latched() ? static_cast<uint8_t>(divisor_) : uint8_t{0};
    case kInterruptEnable:
      return divisor_latched() ? static_cast<uint8_t>(divisor_ >> 8) : interrupt_enable_;
    case kInterruptIdentification:
      return InterruptIdentification();
    case kLineControl:
      return line_control_;
    case kModemControl:
      return modem_control_;
    case kLineStatus:
      return kLineStatusIdle;
    case kModemStatus:
      return ModemStatus();
    case kScratch:
      return scratch_;
    default:
      return 0xff;
  }
}

void Serial::WriteRegister(uint64_t index, uint8_t value) {
  switch (index) {
    case kData:
      if (divisor_latched()) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
        return;
      }
      // In loop mode the byte goes to the receiver, which we do not have.
      if ((modem_control_ & kLoop) == 0) transmit_(value);
      return TransmitterBecameEmpty();
    case kInterruptEnable: {
      if (divisor_latched()) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff) | value << 8);
        return;
      }
      const bool newly_enabled = (value & ~interrupt_enable_ & kEnableTransmitterEmpty) != 0;
      interrupt_enable_ = value & kInterruptEnableBits;
      if (newly_enabled) TransmitterBecameEmpty();
      return;
    }
    case kLineControl:
      line_control_ = value;
      return;
    case kModemControl:
      modem_control_ = value & kModemControlBits;
      return;
    case kScratch:
      scratch_ = value;
      return;
    default:
      return;  // FIFO control changes nothing here; the status registers are read-only
  }
}

void Serial::TransmitterBecameEmpty() {
  if ((interrupt_enable_ & kEnableTransmitterEmpty) == 0) return;
  transmit_pending_ = true;
  interrupt_();
}

// Reading it acknowledges the transmitter's interrupt.
uint8_t Serial::InterruptIdentification() {
  const bool pending = transmit_pending_ && (interrupt_enable_ & kEnableTransmitterEmpty) != 0;
  transmit_pending_ = false;
  return kFifosEnabled | (pending ? kTransmitterEmpty : kNoInterrupt);
}

uint8_t Serial::ModemStatus() const {
  if ((modem_control_ & kLoop) == 0) return kModemStatusIdle;
  // Looped back: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD.
  const uint8_t control = modem_control_;
  return static_cast<uint8_t>((control & 0x01) << 5 | (control & 0x02) << 3 |
                              (control & 0x04) << 4 | (control & 0x08) << 4);
}

msb::vmm::v1::SerialState Serial::Save() const {
  absl::MutexLock lock(&mutex_);
  msb::vmm::v1::SerialState state;
  state.set_interrupt_enable(interrupt_enable_);
  state.set_line_control(line_control_);
  state.set_modem_control(modem_control_);
  state.set_scratch(scratch_);
  state.set_divisor(divisor_);
  state.set_transmit_pending(transmit_pending_);
  return state;
}

absl::Status Serial::Restore(const msb::vmm::v1::SerialState& state) {
  if (state.interrupt_enable() > kInterruptEnableBits || state.line_control() > 0xff ||
      state.modem_control() > kModemControlBits || state.scratch() > 0xff ||
      state.divisor() > 0xffff) {
    return MakeError(Reason::kStateInvalid, "serial: a register beyond its bits");
  }
  absl::MutexLock lock(&mutex_);
  interrupt_enable_ = static_cast<uint8_t>(state.interrupt_enable());
  line_control_ = static_cast<uint8_t>(state.line_control());
  modem_control_ = static_cast<uint8_t>(state.modem_control());
  scratch_ = static_cast<uint8_t>(state.scratch());
  divisor_ = static_cast<uint16_t>(state.divisor());
  transmit_pending_ = state.transmit_pending();
  return absl::OkStatus();
}

}  // namespace msb
