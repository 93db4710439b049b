// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The front end's memory, as SET_MEM_TABLE describes it: where each part of the guest lies in which
// file, and at which address the front end itself has mapped it.
//
// Immutable once made.

#ifndef MSB_VMM_VHOST_USER_MEMORY_TABLE_H_
#define MSB_VMM_VHOST_USER_MEMORY_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/vhost_user/message.h"

namespace msb::vhost_user {

class MemoryTable {
 public:
  const GuestMemory& memory() const { return memory_; }

  // The guest address of `size` bytes at the front end's own `user_address` (rings come as such).
  // kQemuError when they do not lie whole within one region.
  absl::StatusOr<GuestAddress> Translate(uint64_t user_address, uint64_t size) const;

 private:
  friend class MemoryTables;
  // What tells a region from another, the front end's descriptor numbers aside.
  struct Region {
    MemoryRegion place;
    dev_t device;
    ino_t inode;
    friend bool operator==(const Region&, const Region&) = default;
  };
  MemoryTable(std::vector<Region> regions, GuestMemory memory)
      : regions_(std::move(regions)), memory_(std::move(memory)) {}

  std::vector<Region> regions_;
  GuestMemory memory_;
};

// The tables of one front end process. All of its devices describe the same memory, each on its own
// connection and again whenever the machine is resumed: it is mapped once.
// Threading: the event loop's.
class MemoryTables {
 public:
  // Checks the message's regions against each other and against their files, which must be sealed
  // against shrinking (memory-backend-memfd does that): a page cut off later would be a SIGBUS
  // here. kQemuError for what QEMU does not send.
  absl::StatusOr<std::shared_ptr<const MemoryTable>> Map(Message message);

 private:
  std::weak_ptr<const MemoryTable> latest_;
};

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_MEMORY_TABLE_H_
