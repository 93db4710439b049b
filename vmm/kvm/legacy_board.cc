// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/legacy_board.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/boot/address_map.h"

namespace msb {
namespace {

// A guest that marks without end must not fill our memory; only the first few mean anything.
constexpr size_t kMaxWaitingMarks = 64;

absl::StatusOr<UniqueFd> MakeEvent() {
  MSB_ASSIGN_OR_RETURN(const int fd,
                       Syscall("eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }));
  return UniqueFd(fd);
}

void Signal(int event) {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then it is signalled already.
  [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof(one));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LegacyBoard>> LegacyBoard::Create(EventLoop& loop, Bus& ports,
                                                                 Events events) {
  MSB_ASSIGN_OR_RETURN(UniqueFd serial_interrupt, MakeEvent());
  MSB_ASSIGN_OR_RETURN(UniqueFd wakeup, MakeEvent());
  std::unique_ptr<LegacyBoard> board(
      new LegacyBoard(loop, std::move(events), std::move(serial_interrupt), std::move(wakeup)));
  MSB_RETURN_IF_ERROR(loop.Watch(board->wakeup_.get(), EPOLLIN,
                                 [raw = board.get()](uint32_t) { raw->OnWakeup(); }));
  ports.Add(address_map::kSerialPort, Serial::kPorts, board->serial_);
  ports.Add(address_map::kResetPort, 1, board->reset_port_);
  ports.Add(address_map::kCmosPort, RealTimeClock::kPorts, board->clock_);
  ports.Add(address_map::kBootMarkPort, 1, board->boot_mark_port_);
  return board;
}

LegacyBoard::LegacyBoard(EventLoop& loop, Events events, UniqueFd serial_interrupt, UniqueFd wakeup)
    : loop_(loop),
      events_(std::move(events)),
      serial_interrupt_(std::move(serial_interrupt)),
      wakeup_(std::move(wakeup)),
      gate_(loop),
      serial_([this](uint8_t byte) { Transmit(byte); },
              [this] { Signal(serial_interrupt_.get()); }),
      reset_port_([this] { Reset(); }),
      boot_mark_port_([this](uint8_t stage) { Mark(stage); }),
      clock_([] { return absl::Now(); }) {}

LegacyBoard::~LegacyBoard() { loop_.Unwatch(wakeup_.get()); }

void LegacyBoard::Wake() { Signal(wakeup_.get()); }

// One wake-up a burst: whoever makes the buffer non-empty wakes the loop.
void LegacyBoard::Transmit(uint8_t byte) {
  if (events_.console == nullptr) return;
  size_t waiting = 0;
  {
    absl::MutexLock lock(&mutex_);
    console_.push_back(static_cast<char>(byte));
    waiting = console_.size();
  }
  if (waiting == 1) Wake();
  if (waiting >= kMaxWaitingBytes) gate_.Run([this] { Flush(); });
}

void LegacyBoard::Mark(uint8_t stage) {
  {
    absl::MutexLock lock(&mutex_);
    if (marks_.size() >= kMaxWaitingMarks) return;
    marks_.push_back(static_cast<char>(stage));
  }
  Wake();
}

void LegacyBoard::Reset() {
  {
    absl::MutexLock lock(&mutex_);
    reset_ = true;
  }
  Wake();
}

void LegacyBoard::OnWakeup() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wakeup_.get(), &count, sizeof(count));
  Flush();
}

// In the order in which they mean something: a mark may announce the reset behind it.
void LegacyBoard::Flush() {
  std::string console, marks;
  bool reset = false;
  {
    absl::MutexLock lock(&mutex_);
    console.swap(console_);
    marks.swap(marks_);
    reset = std::exchange(reset_, false);
  }
  if (!console.empty() && events_.console != nullptr) events_.console(console);
  for (const char stage : marks) {
    if (events_.boot_mark != nullptr) events_.boot_mark(static_cast<uint8_t>(stage));
  }
  if (reset && events_.reset != nullptr) events_.reset();
}

}  // namespace msb
