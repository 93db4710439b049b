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
#include <filesystem>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

constexpr size_t kCopyBytes = 1 << 20;
constexpr int kMibShift = 20;
constexpr absl::string_view kTemplateEnding = ".ext4";

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

// "<folder>/256.ext4", the largest of at most `size_bytes`.
absl::StatusOr<std::string> ChooseTemplate(const std::string& folder, uint64_t size_bytes) {
  std::error_code error;
  uint64_t best_mib = 0;
  for (std::filesystem::directory_iterator entry(folder, error), end; entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    uint64_t mib = 0;
    if (!absl::EndsWith(name, kTemplateEnding) ||
        !absl::SimpleAtoi(name.substr(0, name.size() - kTemplateEnding.size()), &mib)) {
      continue;
    }
    if (mib <= size_bytes >> kMibShift) best_mib = std::max(best_mib, mib);
  }
  if (best_mib > 0) return absl::StrCat(folder, "/", best_mib, kTemplateEnding);
  return MakeError(
      Reason::kAssetMissing,
      absl::StrCat("no template of disks in ", folder, " for ", size_bytes >> kMibShift,
                   " MiB: run deploy/guest.sh, or install the guest's package"));
}

}  // namespace

absl::Status GrowDisk(const std::string& path, uint64_t size_bytes) {
  const auto opened = Syscall(absl::StrCat("open ", path), [&] {
    return ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  });
  if (!opened.ok()) return WithReason(Reason::kHostError, "disk", opened.status());
  const UniqueFd disk(*opened);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(disk.get(), &info); }));
  if (static_cast<uint64_t>(info.st_size) >= size_bytes) return absl::OkStatus();
  const auto grown = Syscall("set the size of the disk", [&] {
    return ::ftruncate(disk.get(), static_cast<off_t>(size_bytes));
  });
  if (!grown.ok()) return WithReason(Reason::kHostError, "disk", grown.status());
  return absl::OkStatus();
}

absl::Status MakeDisk(const std::string& templates, const std::string& path, uint64_t size_bytes) {
  MSB_ASSIGN_OR_RETURN(const std::string template_path, ChooseTemplate(templates, size_bytes));
  auto opened = Syscall(absl::StrCat("open ", template_path),
                        [&] { return ::open(template_path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (!opened.ok()) {
    return WithReason(Reason::kAssetMissing, "the template of disks", opened.status());
  }
  const UniqueFd from(*opened);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(from.get(), &info); }));
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
