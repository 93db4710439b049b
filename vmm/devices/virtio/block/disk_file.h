// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The file or host block device behind a disk of the guest, or several files one after the other.
//
// Threading: safe on any thread; the kernel orders what touches the same bytes. All calls but
// ReadCached may wait for the host's storage.

#ifndef MSB_VMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
#define MSB_VMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

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
  // To be read alone. As above, and kVmSpecInvalid when a file but the last does not end with a
  // block of kPartAlignment bytes: what the guest mounts has to begin with one.
  static absl::StatusOr<DiskFile> OpenParts(std::vector<UniqueFd> fds);
  static constexpr uint64_t kPartAlignment = 4096;
  DiskFile(DiskFile&& other) noexcept
      : parts_(std::move(other.parts_)),
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
  struct Part {
    UniqueFd fd;
    uint64_t start = 0;  // in the disk
    uint64_t bytes = 0;
  };

  DiskFile(std::vector<Part> parts, Access access);
  const Part& PartAt(uint64_t offset) const;
  // The whole of a disk that can be written.
  int fd() const { return parts_[0].fd.get(); }
  absl::Status WriteZeroPages(uint64_t offset, uint64_t bytes) const;

  std::vector<Part> parts_;  // at least one
  Access access_;
  uint64_t sectors_;
  mutable std::atomic<bool> can_ask_cache_ = true;  // until the file system says that it cannot
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
