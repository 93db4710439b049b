// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guests of tiny_guests.S as bytes, and as the vmlinux that the machine asks for.

#ifndef MSB_TESTS_GUESTS_TINY_GUESTS_H_
#define MSB_TESTS_GUESTS_TINY_GUESTS_H_

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "tests/guests/memory_file.h"

// MSB_TINY_GUEST(halt): the code of the guest `halt`, as an absl::string_view.
#define MSB_DECLARE_TINY_GUEST(name)        \
  extern "C" const char msb_guest_##name[]; \
  extern "C" const char msb_guest_##name##_end[];
#define MSB_TINY_GUEST(name)          \
  absl::string_view(msb_guest_##name, \
                    static_cast<size_t>(msb_guest_##name##_end - msb_guest_##name))

MSB_DECLARE_TINY_GUEST(halt)
MSB_DECLARE_TINY_GUEST(spin)
MSB_DECLARE_TINY_GUEST(triple_fault)
MSB_DECLARE_TINY_GUEST(orderly_end)
MSB_DECLARE_TINY_GUEST(reset)
MSB_DECLARE_TINY_GUEST(marks)
MSB_DECLARE_TINY_GUEST(hello)
MSB_DECLARE_TINY_GUEST(counter)
MSB_DECLARE_TINY_GUEST(chatter)
MSB_DECLARE_TINY_GUEST(mmio_read)
MSB_DECLARE_TINY_GUEST(mmio_value_to_console)
MSB_DECLARE_TINY_GUEST(run_device)
MSB_DECLARE_TINY_GUEST(start_second)
MSB_DECLARE_TINY_GUEST(ticker)

namespace msb {

// Where the guests leave a number for the test.
inline constexpr uint64_t kTinyGuestCounter = 0x90000;
// Where TinyKernel puts the code.
inline constexpr uint64_t kTinyKernelAddress = 0x100000;

// An ELF image with one segment.
inline std::string TinyKernelImage(absl::string_view code) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = kTinyKernelAddress;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_offset = sizeof(header) + sizeof(segment);
  segment.p_paddr = kTinyKernelAddress;
  segment.p_filesz = code.size();
  segment.p_memsz = code.size();
  std::string image(reinterpret_cast<const char*>(&header), sizeof(header));
  image.append(reinterpret_cast<const char*>(&segment), sizeof(segment));
  image.append(code.data(), code.size());
  return image;
}

inline UniqueFd TinyKernel(absl::string_view code) { return MemoryFile(TinyKernelImage(code)); }

}  // namespace msb

#endif  // MSB_TESTS_GUESTS_TINY_GUESTS_H_
