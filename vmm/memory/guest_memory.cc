// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/memory/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"
#include "base/syscall.h"

namespace msb {
namespace {

// What KVM's memory slots and mmap's offsets are multiples of, on every host that we run on.
constexpr uint64_t kPageBytes = 4096;

std::string Text(GuestRange range) {
  return absl::StrFormat("guest range at %#x of %d bytes", ToUint64(range.start), range.size);
}

absl::Status CheckRange(GuestRange range) {
  if (range.size == 0 || range.size % kPageBytes != 0 || ToUint64(range.start) % kPageBytes != 0) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat(Text(range), " is not whole pages"));
  }
  if (!End(range)) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat(Text(range), " wraps"));
  }
  return absl::OkStatus();
}

absl::Status CheckRanges(std::vector<GuestRange> ranges) {
  if (ranges.empty()) return MakeError(Reason::kInvalidArgument, "guest memory without a range");
  for (const GuestRange& range : ranges) MSB_RETURN_IF_ERROR(CheckRange(range));
  std::sort(ranges.begin(), ranges.end(),
            [](const GuestRange& a, const GuestRange& b) { return a.start < b.start; });
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].start < *End(ranges[i - 1])) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat(Text(ranges[i]), " overlaps another"));
    }
  }
  return absl::OkStatus();
}

// A mapping past the end of its file would end the process by SIGBUS at the first touch.
absl::Status CheckFileHolds(const GuestMemory::FilePart& part) {
  struct stat status;
  MSB_RETURN_IF_ERROR(
      Syscall("fstat guest memory", [&] { return ::fstat(part.fd.get(), &status); }));
  const auto file_bytes = static_cast<uint64_t>(std::max<off_t>(0, status.st_size));
  if (part.file_offset % kPageBytes != 0 || part.file_offset > file_bytes ||
      part.range.size > file_bytes - part.file_offset) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(Text(part.range), " does not lie in its file of ", file_bytes,
                                  " bytes at offset ", part.file_offset));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint8_t*> Map(uint64_t size, int flags, int fd, uint64_t offset) {
  void* const host =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(offset));
  if (host == MAP_FAILED) {
    const absl::Status error = absl::ErrnoToStatus(errno, absl::StrCat("mmap ", size, " bytes"));
    return WithReason(errno == ENOMEM ? Reason::kHostOutOfMemory : Reason::kHostError,
                      "guest memory", error);
  }
  // A core dump must not carry the guest's secrets, nor its size. Refused by no kernel that we
  // know; and where it is, the guest runs as well.
  (void)::madvise(host, size, MADV_DONTDUMP);
  return static_cast<uint8_t*>(host);
}

// Sandboxes are many, small and short: what counts is that one costs what it has touched. Measured
// with 10,000 pages touched all over 512 MiB: 37 MiB and 16 ms with small pages, 512 MiB and 2.5 s
// with huge ones. And where the host makes huge pages by itself, khugepaged would fill again what
// the balloon has given back (its max_ptes_none is 511 of 512). Refused only by kernels without
// huge pages.
void UseSmallPages(void* host, uint64_t size) { (void)::madvise(host, size, MADV_NOHUGEPAGE); }

void SortByAddress(std::vector<GuestMemory::Region>& regions) {
  std::sort(regions.begin(), regions.end(),
            [](const auto& a, const auto& b) { return a.range.start < b.range.start; });
}

}  // namespace

absl::StatusOr<GuestMemory> GuestMemory::Allocate(absl::Span<const GuestRange> ranges) {
  MSB_RETURN_IF_ERROR(CheckRanges({ranges.begin(), ranges.end()}));
  GuestMemory memory(Backing::kPrivate);  // unmaps what is there when a later step fails
  for (const GuestRange& range : ranges) {
    MSB_ASSIGN_OR_RETURN(uint8_t* const host,
                         Map(range.size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    UseSmallPages(host, range.size);
    memory.regions_.push_back({range, host});
  }
  SortByAddress(memory.regions_);
  return memory;
}

absl::StatusOr<GuestMemory> GuestMemory::MapShared(std::vector<FilePart> parts) {
  std::vector<GuestRange> ranges;
  for (const FilePart& part : parts) ranges.push_back(part.range);
  MSB_RETURN_IF_ERROR(CheckRanges(std::move(ranges)));
  GuestMemory memory(Backing::kSharedFile);
  for (const FilePart& part : parts) {
    MSB_RETURN_IF_ERROR(CheckFileHolds(part));
    MSB_ASSIGN_OR_RETURN(uint8_t* const host, Map(part.range.size, MAP_SHARED | MAP_NORESERVE,
                                                  part.fd.get(), part.file_offset));
    memory.regions_.push_back({part.range, host, part.fd.get(), part.file_offset});
  }
  for (FilePart& part : parts) memory.files_.push_back(std::move(part.fd));
  SortByAddress(memory.regions_);
  return memory;
}

absl::StatusOr<GuestMemory> GuestMemory::MapShared(UniqueFd file,
                                                   absl::Span<const GuestRange> ranges) {
  std::vector<FilePart> parts;
  uint64_t offset = 0;
  for (const GuestRange& range : ranges) {
    MSB_ASSIGN_OR_RETURN(const int copy, Syscall("F_DUPFD_CLOEXEC", [&] {
                           return ::fcntl(file.get(), F_DUPFD_CLOEXEC, 0);
                         }));
    parts.push_back({.fd = UniqueFd(copy), .file_offset = offset, .range = range});
    offset += range.size;
  }
  return MapShared(std::move(parts));
}

absl::StatusOr<GuestMemory> GuestMemory::MapPrivate(UniqueFd file,
                                                    absl::Span<const GuestRange> ranges) {
  MSB_RETURN_IF_ERROR(CheckRanges({ranges.begin(), ranges.end()}));
  GuestMemory memory(Backing::kPrivate);
  FilePart part{.fd = std::move(file)};
  for (const GuestRange& range : ranges) {
    part.range = range;
    MSB_RETURN_IF_ERROR(CheckFileHolds(part));
    MSB_ASSIGN_OR_RETURN(uint8_t* const host, Map(range.size, MAP_PRIVATE | MAP_NORESERVE,
                                                  part.fd.get(), part.file_offset));
    // A guest touches its pages here and there: what stands around one in the file is not needed.
    (void)::madvise(host, range.size, MADV_RANDOM);
    memory.regions_.push_back({range, host});
    part.file_offset += range.size;
  }
  SortByAddress(memory.regions_);
  return memory;
}

GuestMemory::GuestMemory(GuestMemory&& other) noexcept
    : backing_(other.backing_),
      files_(std::exchange(other.files_, {})),
      regions_(std::exchange(other.regions_, {})) {}

GuestMemory& GuestMemory::operator=(GuestMemory&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  backing_ = other.backing_;
  files_ = std::exchange(other.files_, {});
  regions_ = std::exchange(other.regions_, {});
  return *this;
}

GuestMemory::~GuestMemory() { Unmap(); }

void GuestMemory::Unmap() {
  for (const Region& region : regions_) ::munmap(region.host, region.range.size);
  regions_.clear();
}

uint64_t GuestMemory::total_bytes() const {
  uint64_t sum = 0;
  for (const Region& region : regions_) sum += region.range.size;
  return sum;
}

absl::StatusOr<absl::Span<uint8_t>> GuestMemory::Bytes(GuestRange range) const {
  // A machine has a handful of regions: looking at each is quicker than a search.
  for (const Region& region : regions_) {
    if (range.start < region.range.start) continue;
    const uint64_t offset = ToUint64(range.start) - ToUint64(region.range.start);
    if (offset >= region.range.size || range.size > region.range.size - offset) continue;
    return absl::MakeSpan(region.host + offset, range.size);
  }
  return MakeError(Reason::kGuestViolation, absl::StrCat(Text(range), " is not guest memory"));
}

absl::Status GuestMemory::Discard(absl::Span<uint8_t> bytes) const {
  const auto start = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = (start + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uintptr_t end = (start + bytes.size()) / kPageBytes * kPageBytes;
  if (first >= end) return absl::OkStatus();
  // Only MADV_REMOVE takes pages out of a shared file too.
  const int advice = backing_ == Backing::kPrivate ? MADV_DONTNEED : MADV_REMOVE;
  const auto discarded = Syscall("discard guest memory", [&] {
    return ::madvise(reinterpret_cast<void*>(first), end - first, advice);
  });
  if (!discarded.ok()) return WithReason(Reason::kHostError, "guest memory", discarded.status());
  return absl::OkStatus();
}

absl::Status GuestMemory::ReadFrom(int fd, uint64_t file_offset, GuestRange target) const {
  MSB_ASSIGN_OR_RETURN(absl::Span<uint8_t> rest, Bytes(target));
  while (!rest.empty()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("pread into guest memory", [&] {
                           return ::pread(fd, rest.data(), rest.size(),
                                          static_cast<off_t>(file_offset));
                         }));
    if (got == 0) {
      return absl::DataLossError(
          absl::StrCat("file ends at ", file_offset, ", ", rest.size(), " bytes early"));
    }
    rest.remove_prefix(static_cast<size_t>(got));
    file_offset += static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace msb
