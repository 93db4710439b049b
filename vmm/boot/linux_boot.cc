// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/linux_boot.h"

#include <asm/bootparam.h>
#include <sys/stat.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/command_line.h"
#include "vmm/boot/kernel_loader.h"
#include "vmm/boot/long_mode.h"
#include "vmm/boot/mp_table.h"

namespace msb {
namespace {

static_assert(sizeof(boot_params) == 4096);
static_assert(offsetof(boot_params, hdr) == 0x1f1);
static_assert(offsetof(boot_params, e820_table) == 0x2d0);

constexpr uint64_t kPageBytes = 4096;

// Values of the boot protocol.
constexpr uint8_t kUnregisteredLoader = 0xff;
constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
constexpr uint16_t kProtocolVersion = 0x020c;  // 2.12: the first with a 64-bit entry
constexpr uint32_t kE820Ram = 1;
constexpr uint32_t kE820Reserved = 2;

// At the end of low RAM, so that the kernel can give the pages back as one block.
absl::StatusOr<GuestRange> PlaceInitramfs(const GuestMemory& memory, const LinuxBoot& boot,
                                          uint64_t kernel_end) {
  if (boot.initramfs < 0) return GuestRange{};
  struct stat status;
  const auto got = Syscall("fstat initramfs", [&] { return ::fstat(boot.initramfs, &status); });
  if (!got.ok()) return WithReason(Reason::kHostError, "look at the initramfs", got.status());
  const uint64_t bytes = static_cast<uint64_t>(status.st_size);
  const uint64_t low_ram = memory.regions().front().range.size;
  if (!S_ISREG(status.st_mode) || bytes == 0) {
    return MakeError(Reason::kKernelInvalid, "the initramfs is empty or no regular file");
  }
  const uint64_t room = low_ram - kernel_end;
  if (bytes > room || (low_ram - bytes) / kPageBytes * kPageBytes < kernel_end) {
    return MakeError(
        Reason::kKernelTooLarge,
        absl::StrCat("the initramfs of ", bytes, " bytes does not fit behind the kernel"));
  }
  const GuestRange range{GuestAddress{(low_ram - bytes) / kPageBytes * kPageBytes}, bytes};
  MSB_RETURN_IF_ERROR(PlaceFile(boot.initramfs, 0, memory, range, boot.placement));
  return range;
}

absl::Status WriteCommandLine(const GuestMemory& memory, const std::string& line) {
  MSB_CHECK(line.size() <= kMaxCommandLineBytes);
  MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> target,
                       memory.Bytes({address_map::kCommandLine, line.size() + 1}));
  std::memcpy(target.data(), line.c_str(), line.size() + 1);
  return absl::OkStatus();
}

void AddE820(uint64_t start, uint64_t end, uint32_t type, boot_params& params) {
  params.e820_table[params.e820_entries++] = {.addr = start, .size = end - start, .type = type};
}

absl::Status WriteZeroPage(const GuestMemory& memory, const LinuxBoot& boot, GuestRange initramfs) {
  boot_params params{};
  params.hdr.type_of_loader = kUnregisteredLoader;
  params.hdr.boot_flag = kBootFlag;
  params.hdr.header = kHeaderMagic;
  params.hdr.version = kProtocolVersion;
  params.hdr.cmd_line_ptr = static_cast<uint32_t>(ToUint64(address_map::kCommandLine));
  params.hdr.cmdline_size = static_cast<uint32_t>(boot.command_line.size());
  // Below 3 GiB, so 32 bits hold them.
  params.hdr.ramdisk_image = static_cast<uint32_t>(ToUint64(initramfs.start));
  params.hdr.ramdisk_size = static_cast<uint32_t>(initramfs.size);

  using namespace address_map;  // NOLINT: names of one header
  AddE820(0, kBaseMemoryEnd, kE820Ram, params);
  AddE820(kBaseMemoryEnd, kBaseMemoryEnd + kMpTableBytes, kE820Reserved, params);
  for (const GuestMemory::Region& region : memory.regions()) {
    const uint64_t start = ToUint64(region.range.start);
    AddE820(std::max(start, kHighMemoryStart), start + region.range.size, kE820Ram, params);
  }
  return memory.Store(kZeroPage, params);
}

}  // namespace

absl::StatusOr<GuestAddress> LoadLinux(const GuestMemory& memory, const LinuxBoot& boot) {
  MSB_ASSIGN_OR_RETURN(const LoadedKernel kernel, LoadKernel(boot.kernel, memory, boot.placement));
  MSB_ASSIGN_OR_RETURN(const GuestRange initramfs, PlaceInitramfs(memory, boot, kernel.end));
  MSB_RETURN_IF_ERROR(WriteCommandLine(memory, boot.command_line));
  MSB_RETURN_IF_ERROR(WriteZeroPage(memory, boot, initramfs));
  MSB_RETURN_IF_ERROR(WriteMpTable(memory, boot.vcpus));
  MSB_RETURN_IF_ERROR(WriteLongModeTables(memory));
  return kernel.entry;
}

}  // namespace msb
