// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/block/disk_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/devices/virtio/spec/block.h"

namespace msb {
namespace {

constexpr size_t kMaxVectors = 1024;  // IOV_MAX of Linux
constexpr size_t kZeroPageBytes = size_t{64} << 10;

absl::StatusOr<uint64_t> SizeOf(int fd) {
  struct stat status;
  MSB_RETURN_IF_ERROR(Syscall("fstat disk", [&] { return ::fstat(fd, &status); }));
  if (S_ISREG(status.st_mode)) return static_cast<uint64_t>(status.st_size);
  if (!S_ISBLK(status.st_mode)) {
    return MakeError(Reason::kVmSpecInvalid, "disk is neither a file nor a block device");
  }
  uint64_t bytes = 0;
  MSB_RETURN_IF_ERROR(Syscall("BLKGETSIZE64", [&] { return ::ioctl(fd, BLKGETSIZE64, &bytes); }));
  return bytes;
}

absl::Status CheckOpenFor(int fd, DiskFile::Access access) {
  MSB_ASSIGN_OR_RETURN(const int flags,
                       Syscall("fcntl disk", [&] { return ::fcntl(fd, F_GETFL); }));
  const int mode = flags & O_ACCMODE;
  const bool enough = mode == O_RDWR || (mode == O_RDONLY && access == DiskFile::Access::kReadOnly);
  if (!enough) return MakeError(Reason::kVmSpecInvalid, "disk is not open for what it is to do");
  return absl::OkStatus();
}

// The vectors of one transfer, of which the kernel may do a part at a time.
class Transfer {
 public:
  Transfer(DiskFile::Buffers buffers, uint64_t offset) : offset_(offset) {
    vectors_.reserve(buffers.size());
    for (const absl::Span<uint8_t> buffer : buffers) {
      if (!buffer.empty()) vectors_.push_back({buffer.data(), buffer.size()});
    }
  }
  bool done() const { return next_ == vectors_.size(); }
  const iovec* vectors() const { return &vectors_[next_]; }
  int count() const { return static_cast<int>(std::min(vectors_.size() - next_, kMaxVectors)); }
  off_t offset() const { return static_cast<off_t>(offset_); }

  void Advance(size_t bytes) {
    offset_ += bytes;
    while (bytes > 0) {
      iovec& first = vectors_[next_];
      const size_t step = std::min(bytes, first.iov_len);
      first.iov_base = static_cast<uint8_t*>(first.iov_base) + step;
      first.iov_len -= step;
      bytes -= step;
      if (first.iov_len == 0) ++next_;
    }
  }

 private:
  std::vector<iovec> vectors_;
  size_t next_ = 0;
  uint64_t offset_;
};

absl::Status FileEndsEarly(off_t offset) {
  return absl::DataLossError(absl::StrCat("disk file ends at ", offset));
}

}  // namespace

absl::StatusOr<DiskFile> DiskFile::Open(UniqueFd fd, Access access) {
  MSB_ASSIGN_OR_RETURN(const uint64_t bytes, SizeOf(fd.get()));
  MSB_RETURN_IF_ERROR(CheckOpenFor(fd.get(), access));
  return DiskFile(std::move(fd), access, bytes / virtio::kSectorBytes);
}

absl::Status DiskFile::Read(uint64_t offset, Buffers buffers) const {
  Transfer transfer(buffers, offset);
  while (!transfer.done()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("preadv disk", [&] {
                           return ::preadv(fd_.get(), transfer.vectors(), transfer.count(),
                                           transfer.offset());
                         }));
    if (got == 0) return FileEndsEarly(transfer.offset());
    transfer.Advance(static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> DiskFile::ReadCached(uint64_t offset, Buffers buffers) const {
  if (!can_ask_cache_.load(std::memory_order_relaxed)) return false;
  Transfer transfer(buffers, offset);
  while (!transfer.done()) {
    const ssize_t got =
        ::preadv2(fd_.get(), transfer.vectors(), transfer.count(), transfer.offset(), RWF_NOWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EOPNOTSUPP) can_ask_cache_.store(false, std::memory_order_relaxed);
    if (got < 0 && (errno == EAGAIN || errno == EOPNOTSUPP)) return false;
    if (got < 0) return absl::ErrnoToStatus(errno, "preadv2 disk");
    if (got == 0) return FileEndsEarly(transfer.offset());
    transfer.Advance(static_cast<size_t>(got));
  }
  return true;
}

absl::Status DiskFile::Write(uint64_t offset, Buffers buffers, Durability durability) const {
  const int flags = durability == Durability::kAtOnce ? RWF_DSYNC : 0;
  Transfer transfer(buffers, offset);
  while (!transfer.done()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t written, Syscall("pwritev2 disk", [&] {
                           return ::pwritev2(fd_.get(), transfer.vectors(), transfer.count(),
                                             transfer.offset(), flags);
                         }));
    transfer.Advance(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status DiskFile::Flush() const {
  return status_internal::ToStatus(
      Syscall("fdatasync disk", [&] { return ::fdatasync(fd_.get()); }));
}

absl::Status DiskFile::Discard(uint64_t offset, uint64_t bytes) const {
  const absl::Status punched = status_internal::ToStatus(Syscall("punch hole in disk", [&] {
    return ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       static_cast<off_t>(offset), static_cast<off_t>(bytes));
  }));
  // 5.2.6.2: a hint, and no promise about what is read there afterwards.
  if (absl::IsUnimplemented(punched)) return absl::OkStatus();
  return punched;
}

absl::Status DiskFile::WriteZeroes(uint64_t offset, uint64_t bytes, Allocation allocation) const {
  const int mode = allocation == Allocation::kMayDrop ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                                      : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  const absl::Status zeroed = status_internal::ToStatus(Syscall("zero a range of disk", [&] {
    return ::fallocate(fd_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  }));
  if (absl::IsUnimplemented(zeroed)) return WriteZeroPages(offset, bytes);
  return zeroed;
}

absl::Status DiskFile::WriteZeroPages(uint64_t offset, uint64_t bytes) const {
  static std::array<uint8_t, kZeroPageBytes> zeroes = {};  // written from, never to
  std::vector<absl::Span<uint8_t>> buffers;
  for (uint64_t rest = bytes; rest > 0;) {
    const uint64_t step = std::min<uint64_t>(rest, zeroes.size());
    buffers.push_back(absl::MakeSpan(zeroes).first(step));
    rest -= step;
  }
  return Write(offset, buffers, Durability::kOnFlush);
}

}  // namespace msb
