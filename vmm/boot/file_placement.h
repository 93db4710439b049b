// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The bytes of a file as the initial content of guest memory.

#ifndef MSB_VMM_BOOT_FILE_PLACEMENT_H_
#define MSB_VMM_BOOT_FILE_PLACEMENT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

// Mapping costs nothing at the start, and unchanged pages are the host's page cache itself, shared
// by every machine that runs the same file. The file must then keep its length for as long as the
// guest runs (the caches of kernels and initramfs replace files by rename, never in place): a page
// that is gone ends the machine with kKvmError.
enum class FilePlacement { kMap, kCopy };

// Puts target.size bytes of `file`, from `file_offset` on, at `target`. With kMap, whole pages are
// mapped privately and the rest is copied; everything is copied where offset and address are not
// page-aligned, and where others map the memory too. The caller has seen that the file reaches that
// far; kHostError when it does not after all.
absl::Status PlaceFile(int file, uint64_t file_offset, const GuestMemory& memory, GuestRange target,
                       FilePlacement placement);

}  // namespace msb

#endif  // MSB_VMM_BOOT_FILE_PLACEMENT_H_
