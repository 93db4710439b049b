// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/file_placement.h"

#include <sys/mman.h>

#include <cerrno>

#include "absl/types/span.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

constexpr uint64_t kPageBytes = 4096;

// Over the pages that are there: the mapping that GuestMemory made stays one range, and goes as
// one.
absl::Status MapOver(int file, uint64_t file_offset, absl::Span<uint8_t> target) {
  void* mapped =
      ::mmap(target.data(), target.size(), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file, static_cast<off_t>(file_offset));
  if (mapped == MAP_FAILED) {
    return WithReason(Reason::kHostError, "map a file into guest memory",
                      absl::ErrnoToStatus(errno, "mmap"));
  }
  (void)::madvise(target.data(), target.size(), MADV_DONTDUMP);  // as for the rest of guest memory
  return absl::OkStatus();
}

}  // namespace

absl::Status PlaceFile(int file, uint64_t file_offset, const GuestMemory& memory, GuestRange target,
                       FilePlacement placement) {
  MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> bytes, memory.Bytes(target));
  const bool aligned = file_offset % kPageBytes == 0 && ToUint64(target.start) % kPageBytes == 0 &&
                       reinterpret_cast<uintptr_t>(bytes.data()) % kPageBytes == 0;
  uint64_t mapped = 0;
  if (placement == FilePlacement::kMap && aligned && !memory.is_shared()) {
    mapped = target.size / kPageBytes * kPageBytes;
    if (mapped > 0) MSB_RETURN_IF_ERROR(MapOver(file, file_offset, bytes.first(mapped)));
  }
  if (mapped == target.size) return absl::OkStatus();
  const GuestRange rest{GuestAddress{ToUint64(target.start) + mapped}, target.size - mapped};
  const absl::Status copied = memory.ReadFrom(file, file_offset + mapped, rest);
  if (!copied.ok()) return WithReason(Reason::kHostError, "read a file into guest memory", copied);
  return absl::OkStatus();
}

}  // namespace msb
