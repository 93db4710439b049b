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
  uint64_t offset() const { return offset_; }

  // The same, of at most `max_bytes` (not 0).
  absl::Span<const iovec> Within(uint64_t max_bytes) {
    const auto all = absl::MakeConstSpan(vectors(), static_cast<size_t>(count()));
    size_t whole = 0;
    for (; whole < all.size() && all[whole].iov_len <= max_bytes; ++whole) {
      max_bytes -= all[whole].iov_len;
    }
    if (whole == all.size() || max_bytes == 0) return all.first(whole);
    cut_.assign(all.begin(), all.begin() + static_cast<ptrdiff_t>(whole) + 1);
    cut_.back().iov_len = max_bytes;
    return cut_;
  }

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
  std::vector<iovec> cut_;
  size_t next_ = 0;
  uint64_t offset_;
};

absl::Status FileEndsEarly(uint64_t offset) {
  return absl::DataLossError(absl::StrCat("disk file ends at ", offset));
}

}  // namespace

DiskFile::DiskFile(std::vector<Part> parts, Access access)
    : parts_(std::move(parts)),
      access_(access),
      sectors_((parts_.back().start + parts_.back().bytes) / virtio::kSectorBytes) {}

absl::StatusOr<DiskFile> DiskFile::Open(UniqueFd fd, Access access) {
  MSB_ASSIGN_OR_RETURN(const uint64_t bytes, SizeOf(fd.get()));
  MSB_RETURN_IF_ERROR(CheckOpenFor(fd.get(), access));
  std::vector<Part> parts;
  parts.push_back({.fd = std::move(fd), .start = 0, .bytes = bytes});
  return DiskFile(std::move(parts), access);
}

absl::StatusOr<DiskFile> DiskFile::OpenParts(std::vector<UniqueFd> fds) {
  std::vector<Part> parts;
  uint64_t end = 0;
  for (UniqueFd& fd : fds) {
    if (end % kPartAlignment != 0) {
      return MakeError(Reason::kVmSpecInvalid,
                       absl::StrCat("part ", parts.size(), " of the disk would begin at ", end,
                                    ", no multiple of ", kPartAlignment));
    }
    MSB_ASSIGN_OR_RETURN(const uint64_t bytes, SizeOf(fd.get()));
    MSB_RETURN_IF_ERROR(CheckOpenFor(fd.get(), Access::kReadOnly));
    if (bytes > static_cast<uint64_t>(std::numeric_limits<off_t>::max()) - end) {
      return MakeError(Reason::kVmSpecInvalid, "the disk's parts are too large");
    }
    parts.push_back({.fd = std::move(fd), .start = end, .bytes = bytes});
    end += bytes;
  }
  if (parts.empty()) return MakeError(Reason::kVmSpecInvalid, "the disk has no part");
  return DiskFile(std::move(parts), Access::kReadOnly);
}

// The last one that begins at or before `offset`: for what is behind its end, the last of all.
const DiskFile::Part& DiskFile::PartAt(uint64_t offset) const {
  const auto behind =
      std::upper_bound(parts_.begin(), parts_.end(), offset,
                       [](uint64_t value, const Part& part) { return value < part.start; });
  return *std::prev(behind);
}

absl::Status DiskFile::Read(uint64_t offset, Buffers buffers) const {
  Transfer transfer(buffers, offset);
  while (!transfer.done()) {
    const Part& part = PartAt(transfer.offset());
    const uint64_t in_part = transfer.offset() - part.start;
    if (in_part >= part.bytes) return FileEndsEarly(transfer.offset());
    const absl::Span<const iovec> vectors = transfer.Within(part.bytes - in_part);
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("preadv disk", [&] {
                           return ::preadv(part.fd.get(), vectors.data(),
                                           static_cast<int>(vectors.size()),
                                           static_cast<off_t>(in_part));
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
    const Part& part = PartAt(transfer.offset());
    const uint64_t in_part = transfer.offset() - part.start;
    if (in_part >= part.bytes) return FileEndsEarly(transfer.offset());
    const absl::Span<const iovec> vectors = transfer.Within(part.bytes - in_part);
    const ssize_t got = ::preadv2(part.fd.get(), vectors.data(), static_cast<int>(vectors.size()),
                                  static_cast<off_t>(in_part), RWF_NOWAIT);
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
                           return ::pwritev2(fd(), transfer.vectors(), transfer.count(),
                                             static_cast<off_t>(transfer.offset()), flags);
                         }));
    transfer.Advance(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status DiskFile::Flush() const {
  return status_internal::ToStatus(Syscall("fdatasync disk", [&] { return ::fdatasync(fd()); }));
}

absl::Status DiskFile::Discard(uint64_t offset, uint64_t bytes) const {
  const absl::Status punched = status_internal::ToStatus(Syscall("punch hole in disk", [&] {
    return ::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(bytes));
  }));
  // 5.2.6.2: a hint, and no promise about what is read there afterwards.
  if (absl::IsUnimplemented(punched)) return absl::OkStatus();
  return punched;
}

absl::Status DiskFile::WriteZeroes(uint64_t offset, uint64_t bytes, Allocation allocation) const {
  const int mode = allocation == Allocation::kMayDrop ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                                      : FALLOC_FL_ZERO_RANGE;
  const absl::Status zeroed = status_internal::ToStatus(Syscall("zero a range of disk", [&] {
    return ::fallocate(fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(bytes));
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
