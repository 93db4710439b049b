// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

constexpr size_t kCopyBytes = 1 << 20;

absl::Status WriteAll(int fd, const char* data, size_t size, off_t offset) {
  while (size > 0) {
    MSB_ASSIGN_OR_RETURN(const ssize_t wrote, Syscall("write the disk", [&] {
                           return ::pwrite(fd, data, size, offset);
                         }));
    data += wrote;
    size -= static_cast<size_t>(wrote);
    offset += wrote;
  }
  return absl::OkStatus();
}

// For file systems between which copy_file_range does not work.
absl::Status CopyByHand(int from, int to, off_t begin, off_t end) {
  const std::unique_ptr<char[]> buffer(new char[kCopyBytes]);
  while (begin < end) {
    const size_t wanted = std::min<size_t>(kCopyBytes, static_cast<size_t>(end - begin));
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read the disk template", [&] {
                           return ::pread(from, buffer.get(), wanted, begin);
                         }));
    if (got == 0) return absl::OkStatus();
    MSB_RETURN_IF_ERROR(WriteAll(to, buffer.get(), static_cast<size_t>(got), begin));
    begin += got;
  }
  return absl::OkStatus();
}

absl::Status CopyRange(int from, int to, off_t begin, off_t end) {
  while (begin < end) {
    off_t in = begin;
    off_t out = begin;
    const ssize_t copied =
        ::copy_file_range(from, &in, to, &out, static_cast<size_t>(end - begin), 0);
    if (copied == 0) return absl::OkStatus();
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
      return absl::ErrnoToStatus(errno, "copy the disk template");
    }
    if (copied < 0) return CopyByHand(from, to, begin, end);
    begin += copied;
  }
  return absl::OkStatus();
}

absl::Status CopyData(int from, int to, off_t size) {
  off_t data = 0;
  while (data < size) {
    data = ::lseek(from, data, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return absl::OkStatus();  // only a hole is left
    if (data < 0) return absl::ErrnoToStatus(errno, "seek in the disk template");
    MSB_ASSIGN_OR_RETURN(const off_t hole, Syscall("seek in the disk template",
                                                   [&] { return ::lseek(from, data, SEEK_HOLE); }));
    MSB_RETURN_IF_ERROR(CopyRange(from, to, data, hole));
    data = hole;
  }
  return absl::OkStatus();
}

absl::Status FillDisk(int from, int to, off_t template_size, off_t size) {
  if (::ioctl(to, FICLONE, from) != 0) {
    MSB_RETURN_IF_ERROR(CopyData(from, to, template_size));
  }
  return status_internal::ToStatus(
      Syscall("set the size of the disk", [&] { return ::ftruncate(to, size); }));
}

}  // namespace

absl::Status MakeDisk(const std::string& template_path, const std::string& path,
                      uint64_t size_bytes) {
  auto opened = Syscall(absl::StrCat("open ", template_path),
                        [&] { return ::open(template_path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (!opened.ok()) {
    return WithReason(Reason::kAssetMissing, "the template of disks", opened.status());
  }
  const UniqueFd from(*opened);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(from.get(), &info); }));
  if (size_bytes < static_cast<uint64_t>(info.st_size)) {
    return MakeError(
        Reason::kInvalidResources,
        absl::StrCat("resources.disk_mib is ", size_bytes >> 20,
                     "; this host's disks have at least ", (info.st_size + (1 << 20) - 1) >> 20));
  }
  auto made = Syscall(absl::StrCat("make ", path), [&] {
    return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  });
  if (!made.ok()) return WithReason(Reason::kHostError, "disk", made.status());
  const UniqueFd to(*made);
  absl::Cleanup unlink = [&] { ::unlink(path.c_str()); };
  const absl::Status filled =
      FillDisk(from.get(), to.get(), info.st_size, static_cast<off_t>(size_bytes));
  if (!filled.ok()) return WithReason(Reason::kHostError, "disk", filled);
  std::move(unlink).Cancel();
  return absl::OkStatus();
}

}  // namespace msb
