// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The RAM of a saved machine in a file: one region behind the other, with a hole for each page of
// zeroes.

#ifndef MSB_VMM_MEMORY_MEMORY_IMAGE_H_
#define MSB_VMM_MEMORY_MEMORY_IMAGE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

// Into `file`, which is empty. Nothing of the machine runs meanwhile. kHostError, or what the file
// system says (kNoSpace).
absl::Status WriteMemoryImage(const GuestMemory& memory, int file);
// The same of a memory file (memfd), whose holes stay what they are.
absl::Status WriteMemoryImage(int memory, int file);

// The memory of a machine that goes on from `file`, in pages of its own, where each range continues
// the one before. Costs what the machine writes: all others are the file's, shared by all machines
// of it. kStateInvalid for a file of another size.
absl::StatusOr<GuestMemory> MapMemoryImage(UniqueFd file, absl::Span<const GuestRange> ranges);

// An empty memory file (memfd) for a machine of `bytes` whose memory other processes map too.
absl::StatusOr<UniqueFd> MakeMemoryFile(uint64_t bytes);
// Fills it from an image. kStateInvalid for an image of another size.
absl::Status ReadMemoryImage(int file, int memory);

}  // namespace msb

#endif  // MSB_VMM_MEMORY_MEMORY_IMAGE_H_
