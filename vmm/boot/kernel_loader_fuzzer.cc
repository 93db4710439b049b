// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The input is a kernel file. It is loaded both ways; what was accepted must have its entry in
// memory.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "vmm/boot/kernel_loader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const msb::UniqueFd file(::memfd_create("fuzz", MFD_CLOEXEC));
  MSB_CHECK(::ftruncate(file.get(), 0) == 0);
  MSB_CHECK(::pwrite(file.get(), data, size, 0) == static_cast<ssize_t>(size));
  for (const auto placement : {msb::FilePlacement::kMap, msb::FilePlacement::kCopy}) {
    const std::vector<msb::GuestRange> ranges = {{msb::GuestAddress{0}, 8 << 20}};
    const auto memory = msb::GuestMemory::Allocate(ranges);
    MSB_CHECK(memory.ok());
    const auto kernel = msb::LoadKernel(file.get(), *memory, placement);
    if (kernel.ok()) MSB_CHECK(memory->Bytes({kernel->entry, 1}).ok());
  }
  return 0;
}
