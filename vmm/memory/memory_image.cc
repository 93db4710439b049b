// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/memory/memory_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kPieceBytes = 1 << 20;

absl::Status Failed(absl::string_view what, const absl::Status& why) {
  return WithReason(Reason::kHostError, what, why);
}

absl::StatusOr<uint64_t> SizeOf(int file) {
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat a memory image", [&] { return ::fstat(file, &info); }));
  return static_cast<uint64_t>(std::max<off_t>(0, info.st_size));
}

absl::Status CheckSize(int file, uint64_t wanted) {
  MSB_ASSIGN_OR_RETURN(const uint64_t size, SizeOf(file));
  if (size == wanted) return absl::OkStatus();
  return MakeError(Reason::kStateInvalid,
                   absl::StrCat("a memory image of ", size, " bytes for a machine of ", wanted));
}

bool IsZero(absl::Span<const uint8_t> page) {
  return page[0] == 0 && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

// One writer, front to back.
class ImageWriter {
 public:
  explicit ImageWriter(int file) : file_(file) {}

  absl::Status SetSize(uint64_t bytes) {
    return status_internal::ToStatus(Syscall(
        "size a memory image", [&] { return ::ftruncate(file_, static_cast<off_t>(bytes)); }));
  }

  // Whole pages, at `offset` of the file; runs of pages that are not zero.
  absl::Status Write(absl::Span<const uint8_t> bytes, uint64_t offset) {
    for (size_t at = 0; at < bytes.size();) {
      size_t end = at;
      while (end < bytes.size() && !IsZero(bytes.subspan(end, kPageBytes))) end += kPageBytes;
      MSB_RETURN_IF_ERROR(WriteRun(bytes.subspan(at, end - at), offset + at));
      at = end + kPageBytes;  // a page of zeroes, or the end
    }
    return absl::OkStatus();
  }

 private:
  absl::Status WriteRun(absl::Span<const uint8_t> run, uint64_t offset) const {
    while (!run.empty()) {
      MSB_ASSIGN_OR_RETURN(const ssize_t written, Syscall("write a memory image", [&] {
                             return ::pwrite(file_, run.data(), run.size(),
                                             static_cast<off_t>(offset));
                           }));
      run.remove_prefix(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return absl::OkStatus();
  }

  const int file_;
};

// Calls `part` for each piece of `file` that is no hole, in order.
absl::Status ForEachPart(int file,
                         absl::FunctionRef<absl::Status(uint64_t start, uint64_t end)> part) {
  uint64_t at = 0;
  while (true) {
    const off_t start = ::lseek(file, static_cast<off_t>(at), SEEK_DATA);
    if (start < 0 && errno == ENXIO) return absl::OkStatus();
    if (start < 0) return absl::ErrnoToStatus(errno, "seek data");
    const off_t end = ::lseek(file, start, SEEK_HOLE);
    if (end < 0) return absl::ErrnoToStatus(errno, "seek a hole");
    MSB_RETURN_IF_ERROR(part(static_cast<uint64_t>(start), static_cast<uint64_t>(end)));
    at = static_cast<uint64_t>(end);
  }
}

absl::Status CopyPart(int from, uint64_t start, uint64_t end, std::vector<uint8_t>& buffer,
                      ImageWriter& writer) {
  while (start < end) {
    const size_t piece = std::min<uint64_t>(buffer.size(), end - start);
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read guest memory", [&] {
                           return ::pread(from, buffer.data(), piece, static_cast<off_t>(start));
                         }));
    const auto bytes = static_cast<size_t>(got);
    if (bytes == 0 || bytes % kPageBytes != 0) {
      return absl::DataLossError("a memory file that is no whole pages");
    }
    MSB_RETURN_IF_ERROR(writer.Write(absl::MakeConstSpan(buffer).first(bytes), start));
    start += bytes;
  }
  return absl::OkStatus();
}

// In the kernel, page by page: a quarter less than through a buffer of ours.
absl::Status SendPart(int from, uint64_t start, uint64_t end, int to) {
  MSB_RETURN_IF_ERROR(Syscall("seek guest memory",
                              [&] { return ::lseek(to, static_cast<off_t>(start), SEEK_SET); }));
  auto offset = static_cast<off_t>(start);
  while (static_cast<uint64_t>(offset) < end) {
    MSB_ASSIGN_OR_RETURN(const ssize_t sent, Syscall("read a memory image", [&] {
                           return ::sendfile(to, from, &offset,
                                             end - static_cast<uint64_t>(offset));
                         }));
    if (sent == 0) return absl::DataLossError("the memory image has shrunk");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteMemoryImage(const GuestMemory& memory, int file) {
  ImageWriter writer(file);
  absl::Status written = writer.SetSize(memory.total_bytes());
  uint64_t offset = 0;
  for (const GuestMemory::Region& region : memory.regions()) {
    if (written.ok()) written = writer.Write({region.host, region.range.size}, offset);
    offset += region.range.size;
  }
  return written.ok() ? written : Failed("the memory image", written);
}

absl::Status WriteMemoryImage(int memory, int file) {
  MSB_ASSIGN_OR_RETURN(const uint64_t size, SizeOf(memory));
  ImageWriter writer(file);
  std::vector<uint8_t> buffer(kPieceBytes);
  absl::Status written = writer.SetSize(size);
  if (written.ok()) {
    written = ForEachPart(memory, [&](uint64_t start, uint64_t end) {
      return CopyPart(memory, start, end, buffer, writer);
    });
  }
  return written.ok() ? written : Failed("the memory image", written);
}

absl::StatusOr<GuestMemory> MapMemoryImage(UniqueFd file, absl::Span<const GuestRange> ranges) {
  uint64_t total = 0;
  for (const GuestRange& range : ranges) total += range.size;
  MSB_RETURN_IF_ERROR(CheckSize(file.get(), total));
  return GuestMemory::MapPrivate(std::move(file), ranges);
}

absl::StatusOr<UniqueFd> MakeMemoryFile(uint64_t bytes) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("memfd_create", [] {
                         return ::memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                       }));
  UniqueFd memory(fd);
  MSB_RETURN_IF_ERROR(
      Syscall("size guest memory", [&] { return ::ftruncate(fd, static_cast<off_t>(bytes)); }));
  // Whoever maps it must not die of another's ftruncate.
  MSB_RETURN_IF_ERROR(Syscall("seal guest memory", [&] {
    return ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  }));
  return memory;
}

absl::Status ReadMemoryImage(int file, int memory) {
  MSB_ASSIGN_OR_RETURN(const uint64_t wanted, SizeOf(memory));
  MSB_RETURN_IF_ERROR(CheckSize(file, wanted));
  const absl::Status read = ForEachPart(
      file, [&](uint64_t start, uint64_t end) { return SendPart(file, start, end, memory); });
  return read.ok() ? read : Failed("the memory image", read);
}

}  // namespace msb
