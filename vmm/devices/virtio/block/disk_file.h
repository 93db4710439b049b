// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The file or host block device behind a disk of the guest.
//
// Threading: safe on any thread; the kernel orders what touches the same bytes. All calls but
// ReadCached may wait for the host's storage.

#ifndef MSB_VMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
#define MSB_VMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace msb {

class DiskFile {
 public:
  enum class Access { kReadOnly, kReadWrite };
  // When a write counts as done.
  enum class Durability {
    kOnFlush,  // when a later Flush has returned
    kAtOnce,   // when Write has returned
  };
  // Where the zeroes of WriteZeroes may come from.
  enum class Allocation {
    kMayDrop,  // the host's blocks may be given back
    kKeep,
  };
  // Host memory to read into or write from; in our case the guest's own.
  using Buffers = absl::Span<const absl::Span<uint8_t>>;

  // kVmSpecInvalid when `fd` is neither a regular file nor a block device, or is not open for
  // `access`.
  static absl::StatusOr<DiskFile> Open(UniqueFd fd, Access access);
  DiskFile(DiskFile&& other) noexcept
      : fd_(std::move(other.fd_)),
        access_(other.access_),
        sectors_(other.sectors_),
        can_ask_cache_(other.can_ask_cache_.load()) {}

  // Whole sectors of 512 bytes; a rest of the file behind the last one is not the guest's.
  uint64_t sectors() const { return sectors_; }
  bool read_only() const { return access_ == Access::kReadOnly; }

  // `offset` counts bytes. A file that ends early (somebody cut it meanwhile) is kDataLoss.
  absl::Status Read(uint64_t offset, Buffers buffers) const;
  // Reads only what is in the page cache. False when that is not all of it: the buffers hold
  // nothing of use then.
  absl::StatusOr<bool> ReadCached(uint64_t offset, Buffers buffers) const;
  absl::Status Write(uint64_t offset, Buffers buffers, Durability durability) const;
  absl::Status Flush() const;
  // Gives the blocks back where the host can; otherwise does nothing.
  absl::Status Discard(uint64_t offset, uint64_t bytes) const;
  absl::Status WriteZeroes(uint64_t offset, uint64_t bytes, Allocation allocation) const;

 private:
  DiskFile(UniqueFd fd, Access access, uint64_t sectors)
      : fd_(std::move(fd)), access_(access), sectors_(sectors) {}
  absl::Status WriteZeroPages(uint64_t offset, uint64_t bytes) const;

  UniqueFd fd_;
  Access access_;
  uint64_t sectors_;
  mutable std::atomic<bool> can_ask_cache_ = true;  // until the file system says that it cannot
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
