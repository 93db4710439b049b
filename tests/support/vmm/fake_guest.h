// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A whole guest in a test: memory, and a driver for any number of virtqueues.
//
//   FakeGuest guest({.queue_sizes = {8, 8}});
//   guest.queue(1).AddChain({guest.Readable(header), guest.Writable(512)});
//   device.Activate(features, guest.virtqueues());
//   device.OnNotify(1);
//   EXPECT_THAT(guest.queue(1).Used(), ElementsAre(UsedElement{.id = 0, .length = 512}));
//
// Descriptors are taken in order from 0 and used again once Used() has returned them. What a test
// itself does wrong (a full ring, memory used up) ends it by a CHECK.
//
// Two ways to have the device's side: virtqueues() makes Virtqueues that count their interrupts
// here; or a transport makes its own from queue(i).layout() over memory() (or over memory_fd(), as
// a vhost-user front end shares it).

#ifndef MSB_TESTS_SUPPORT_VMM_FAKE_GUEST_H_
#define MSB_TESTS_SUPPORT_VMM_FAKE_GUEST_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "tests/support/vmm/fake_queue.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class FakeGuest {
 public:
  enum class MemoryKind {
    kAnonymous,  // as our own machine has it
    kMemfd,      // as QEMU shares it: memory_fd() at offset 0
  };
  struct Options {
    std::vector<uint16_t> queue_sizes = {8};
    bool event_index = true;
    uint64_t memory_bytes = 4 << 20;
    MemoryKind memory_kind = MemoryKind::kAnonymous;
  };
  explicit FakeGuest(const Options& options);
  FakeGuest() : FakeGuest(Options()) {}
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  // Where memory begins, so that a guest address is never mistaken for an offset.
  static constexpr GuestAddress kMemoryStart{0x10'0000};

  const GuestMemory& memory() const { return memory_; }
  int memory_fd() const { return memory_fd_.get(); }

  // Fresh zeroed memory of the guest.
  GuestRange Allocate(uint64_t size, uint64_t alignment = 16);
  uint64_t free_bytes() const {
    return ToUint64(kMemoryStart) + memory_.total_bytes() - next_free_;
  }
  void Write(GuestAddress address, absl::string_view bytes);
  std::string Read(GuestRange range) const;

  // Buffers for AddChain, in fresh memory.
  FakeBuffer Readable(absl::string_view bytes);
  FakeBuffer Writable(uint32_t size);

  FakeQueue& queue(size_t index = 0);
  // The device's side of every queue, as Activate takes it.
  std::vector<Virtqueue*> virtqueues();

 private:
  UniqueFd memory_fd_;  // before memory_, which may be made from it
  GuestMemory memory_;
  uint64_t next_free_;
  std::deque<FakeQueue> queues_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_FAKE_GUEST_H_
