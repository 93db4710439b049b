// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guest's RAM, as host memory. The only place where a guest address becomes a pointer.
//
// Immutable after it is made, and so safe to use from any thread. The bytes themselves are shared
// with a hostile guest that may change them at any moment: copy a value out once, check the copy,
// use the copy.

#ifndef MSB_VMM_MEMORY_GUEST_MEMORY_H_
#define MSB_VMM_MEMORY_GUEST_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "vmm/memory/guest_address.h"

namespace msb {

class GuestMemory {
 public:
  // Anonymous, zeroed memory, given by the kernel page by page as it is touched. kInvalidArgument
  // for ranges that overlap, wrap, are empty or are not whole pages of 4 KiB; kHostOutOfMemory.
  static absl::StatusOr<GuestMemory> Allocate(absl::Span<const GuestRange> ranges);

  // A part of `fd` that stands at `range` of the guest, mapped shared: the memory of a machine that
  // another process runs (vhost-user). Ranges as in Allocate; each must lie within its file, which
  // must not shrink later: touching a page past its end is a SIGBUS.
  struct FilePart {
    UniqueFd fd;
    uint64_t file_offset = 0;
    GuestRange range;
  };
  static absl::StatusOr<GuestMemory> MapShared(std::vector<FilePart> parts);

  // `ranges`, as in Allocate, of `file` one behind the other, in their order, mapped shared: memory
  // that other processes are to map too. `file` must not shrink later.
  static absl::StatusOr<GuestMemory> MapShared(UniqueFd file, absl::Span<const GuestRange> ranges);

  // `ranges`, as in Allocate, of `file` one behind the other, in their order: what the machine
  // writes goes into pages of its own. The file must not shrink or change later.
  static absl::StatusOr<GuestMemory> MapPrivate(UniqueFd file, absl::Span<const GuestRange> ranges);

  GuestMemory(GuestMemory&& other) noexcept;
  GuestMemory& operator=(GuestMemory&& other) noexcept;
  ~GuestMemory();

  struct Region {
    GuestRange range;
    uint8_t* host = nullptr;
    // Of MapShared: where the same bytes stand, for another process that is to map them.
    int file = -1;
    uint64_t file_offset = 0;
  };
  absl::Span<const Region> regions() const { return regions_; }
  // Whether others may map it too. Nothing may then be mapped over a part of it: they would go on
  // seeing what is beneath.
  bool is_shared() const { return backing_ == Backing::kSharedFile; }
  uint64_t total_bytes() const;

  // The host bytes of `range`. kGuestViolation when it is not whole within one region. Empty for an
  // empty range inside a region.
  absl::StatusOr<absl::Span<uint8_t>> Bytes(GuestRange range) const;

  // A copy of the value at `address`, torn if the guest writes at the same time.
  template <typename T>
  absl::StatusOr<T> Load(GuestAddress address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> bytes, Bytes({address, sizeof(T)}));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    // Keeps the compiler from reading guest memory again in place of the copy that was checked.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return value;
  }

  template <typename T>
  absl::Status Store(GuestAddress address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> bytes, Bytes({address, sizeof(T)}));
    std::memcpy(bytes.data(), &value, sizeof(T));
    return absl::OkStatus();
  }

  // Gives the whole pages within `bytes`, which came from Bytes, back to the host; they read as
  // zeroes, or as what stands in the file of MapPrivate, until they are written again. Also of the
  // file, where memory is shared. kHostError.
  absl::Status Discard(absl::Span<uint8_t> bytes) const;

  // Fills `target` with the bytes of `fd` from `file_offset` on. kDataLoss when the file ends
  // early.
  absl::Status ReadFrom(int fd, uint64_t file_offset, GuestRange target) const;

 private:
  enum class Backing { kPrivate, kSharedFile };
  explicit GuestMemory(Backing backing) : backing_(backing) {}
  void Unmap();

  Backing backing_;
  std::vector<UniqueFd> files_;
  std::vector<Region> regions_;  // sorted by address, no two overlap
};

}  // namespace msb

#endif  // MSB_VMM_MEMORY_GUEST_MEMORY_H_
