// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/kernel_loader.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/boot/address_map.h"

namespace msb {
namespace {

// A vmlinux has five; the bound keeps a hostile file from making us read and loop for long.
constexpr uint16_t kMaxProgramHeaders = 64;

absl::Status Invalid(absl::string_view what) { return MakeError(Reason::kKernelInvalid, what); }

absl::StatusOr<uint64_t> FileBytes(int image) {
  struct stat status;
  const auto got = Syscall("fstat kernel", [&] { return ::fstat(image, &status); });
  if (!got.ok()) return WithReason(Reason::kHostError, "look at the kernel", got.status());
  if (!S_ISREG(status.st_mode)) return Invalid("the kernel is no regular file");
  return static_cast<uint64_t>(status.st_size);
}

absl::Status ReadExactly(int image, uint64_t offset, absl::Span<char> out) {
  while (!out.empty()) {
    const auto got = Syscall("pread kernel", [&] {
      return ::pread(image, out.data(), out.size(), static_cast<off_t>(offset));
    });
    if (!got.ok()) return WithReason(Reason::kHostError, "read the kernel", got.status());
    if (*got == 0) return Invalid("the kernel's file ends within its headers");
    out.remove_prefix(static_cast<size_t>(*got));
    offset += static_cast<uint64_t>(*got);
  }
  return absl::OkStatus();
}

// Whether [offset, offset + size) lies in [0, total).
bool Within(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

absl::Status CheckHeader(const Elf64_Ehdr& header) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return Invalid("no ELF file: an uncompressed vmlinux is needed, not a bzImage");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return MakeError(Reason::kKernelWrongMachine, "no 64-bit little-endian ELF file");
  }
  if (header.e_machine != EM_X86_64) {
    return MakeError(Reason::kKernelWrongMachine, absl::StrCat("e_machine=", header.e_machine));
  }
  if (header.e_ident[EI_VERSION] != EV_CURRENT || header.e_version != EV_CURRENT) {
    return Invalid("unknown ELF version");
  }
  if (header.e_type != ET_EXEC) return Invalid(absl::StrCat("e_type=", header.e_type));
  if (header.e_phentsize != sizeof(Elf64_Phdr)) {
    return Invalid(absl::StrCat("e_phentsize=", header.e_phentsize));
  }
  if (header.e_phnum == 0 || header.e_phnum > kMaxProgramHeaders) {
    return Invalid(absl::StrCat("e_phnum=", header.e_phnum));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Elf64_Phdr>> ReadSegments(int image, const Elf64_Ehdr& header,
                                                     uint64_t file_bytes) {
  const uint64_t table_bytes = header.e_phnum * sizeof(Elf64_Phdr);
  if (!Within(header.e_phoff, table_bytes, file_bytes)) {
    return Invalid("the program headers lie outside the file");
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  MSB_RETURN_IF_ERROR(
      ReadExactly(image, header.e_phoff,
                  absl::MakeSpan(reinterpret_cast<char*>(segments.data()), table_bytes)));
  const auto not_loaded = [](const Elf64_Phdr& segment) {
    return segment.p_type != PT_LOAD || segment.p_memsz == 0;
  };
  segments.erase(std::remove_if(segments.begin(), segments.end(), not_loaded), segments.end());
  if (segments.empty()) return Invalid("no segment to load");
  std::sort(segments.begin(), segments.end(),
            [](const auto& a, const auto& b) { return a.p_paddr < b.p_paddr; });
  return segments;
}

// `segments` sorted by address.
absl::Status CheckSegments(absl::Span<const Elf64_Phdr> segments, uint64_t file_bytes,
                           uint64_t limit) {
  uint64_t previous_end = address_map::kHighMemoryStart;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_filesz > segment.p_memsz) return Invalid("a segment with p_filesz > p_memsz");
    if (!Within(segment.p_offset, segment.p_filesz, file_bytes)) {
      return Invalid("a segment lies outside the file");
    }
    if (segment.p_paddr < previous_end) {
      return Invalid(absl::StrFormat("a segment at %#x overlaps another one or the first MiB",
                                     segment.p_paddr));
    }
    if (!Within(segment.p_paddr, segment.p_memsz, limit)) {
      return MakeError(Reason::kKernelTooLarge,
                       absl::StrFormat("a segment of %d bytes at %#x; the kernel may reach %#x",
                                       segment.p_memsz, segment.p_paddr, limit));
    }
    previous_end = segment.p_paddr + segment.p_memsz;
  }
  return absl::OkStatus();
}

bool HoldsEntry(absl::Span<const Elf64_Phdr> segments, uint64_t entry) {
  return std::any_of(segments.begin(), segments.end(), [&](const Elf64_Phdr& segment) {
    return entry >= segment.p_paddr && entry - segment.p_paddr < segment.p_filesz;
  });
}

}  // namespace

absl::StatusOr<LoadedKernel> LoadKernel(int image, const GuestMemory& memory,
                                        FilePlacement placement) {
  MSB_ASSIGN_OR_RETURN(const uint64_t file_bytes, FileBytes(image));
  if (file_bytes < sizeof(Elf64_Ehdr)) return Invalid("the kernel's file is too short");
  Elf64_Ehdr header;
  MSB_RETURN_IF_ERROR(
      ReadExactly(image, 0, absl::MakeSpan(reinterpret_cast<char*>(&header), sizeof(header))));
  MSB_RETURN_IF_ERROR(CheckHeader(header));
  MSB_ASSIGN_OR_RETURN(const std::vector<Elf64_Phdr> segments,
                       ReadSegments(image, header, file_bytes));
  const uint64_t low_ram = memory.regions().front().range.size;
  MSB_RETURN_IF_ERROR(
      CheckSegments(segments, file_bytes, std::min(low_ram, address_map::kIdentityMappedBytes)));
  if (!HoldsEntry(segments, header.e_entry)) return Invalid("e_entry lies in no segment");
  for (const Elf64_Phdr& segment : segments) {
    // Guest memory is zero from the start: .bss, the rest up to p_memsz, needs nothing.
    MSB_RETURN_IF_ERROR(PlaceFile(image, segment.p_offset, memory,
                                  {GuestAddress{segment.p_paddr}, segment.p_filesz}, placement));
  }
  return LoadedKernel{GuestAddress{header.e_entry},
                      segments.back().p_paddr + segments.back().p_memsz};
}

}  // namespace msb
