// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The legacy devices of the machine, wired to its ports, its interrupt lines and the event loop.
//
// Threading: the loop's; the devices themselves are called on vCPU threads, and hand on to the
// loop.

#ifndef MSB_VMM_KVM_LEGACY_BOARD_H_
#define MSB_VMM_KVM_LEGACY_BOARD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/bus/bus.h"
#include "vmm/devices/legacy/boot_mark_port.h"
#include "vmm/devices/legacy/real_time_clock.h"
#include "vmm/devices/legacy/reset_port.h"
#include "vmm/devices/legacy/serial.h"
#include "vmm/devices/virtio/loop_gate.h"

namespace msb {

class LegacyBoard {
 public:
  // All on the loop, and any of them may be null.
  struct Events {
    std::function<void(absl::string_view bytes)> console;
    std::function<void(uint8_t stage)> boot_mark;
    std::function<void()> reset;
  };

  // Bytes of console output that may wait for the loop; then the vCPU does.
  static constexpr size_t kMaxWaitingBytes = 64 * 1024;

  // Adds the devices to `ports`. `loop` outlives the board, the board the last use of `ports`.
  static absl::StatusOr<std::unique_ptr<LegacyBoard>> Create(EventLoop& loop, Bus& ports,
                                                             Events events);
  LegacyBoard(const LegacyBoard&) = delete;
  LegacyBoard& operator=(const LegacyBoard&) = delete;
  ~LegacyBoard();

  // An eventfd that is written to when the serial port interrupts.
  int serial_interrupt_fd() const { return serial_interrupt_.get(); }

  Serial& serial() { return serial_; }

  // Before the vCPU threads are joined: nothing waits for the loop from now on.
  void Close() { gate_.Close(); }
  // Hands on what waits.
  void Flush();

 private:
  LegacyBoard(EventLoop& loop, Events events, UniqueFd serial_interrupt, UniqueFd wakeup);

  // vCPU threads.
  void Transmit(uint8_t byte);
  void Mark(uint8_t stage);
  void Reset();
  void Wake();
  // The loop.
  void OnWakeup();

  EventLoop& loop_;
  const Events events_;
  const UniqueFd serial_interrupt_;
  const UniqueFd wakeup_;
  LoopGate gate_;
  Serial serial_;
  ResetPort reset_port_;
  BootMarkPort boot_mark_port_;
  RealTimeClock clock_;

  absl::Mutex mutex_;
  std::string console_ ABSL_GUARDED_BY(mutex_);
  std::string marks_ ABSL_GUARDED_BY(mutex_);  // a byte each
  bool reset_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_VMM_KVM_LEGACY_BOARD_H_
