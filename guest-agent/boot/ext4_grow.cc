// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/ext4_grow.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr uint16_t kMagic = 0xef53;
constexpr uint32_t kIncompat64Bit = 0x80;
constexpr uint32_t kMaxLogBlockSize = 6;  // 64 KiB
// fs/ext4/ext4.h; not in the kernel's exported headers. The new size in blocks.
constexpr unsigned long kResize = _IOW('f', 16, uint64_t);

uint32_t LittleEndian(absl::string_view bytes, size_t offset, size_t size) {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[offset + i])) << (8 * i);
  }
  return value;
}

absl::Status Failed(const std::string& device, absl::string_view step) {
  return ErrnoError(Reason::kSandboxStartFailed,
                    absl::StrCat("grow the file system of ", device, ", ", step), errno);
}

}  // namespace

std::optional<Ext4Size> ParseExt4Superblock(absl::string_view superblock) {
  if (superblock.size() < kExt4SuperblockBytes) return std::nullopt;
  const uint32_t log_block_size = LittleEndian(superblock, 0x18, 4);
  if (LittleEndian(superblock, 0x38, 2) != kMagic || log_block_size > kMaxLogBlockSize) {
    return std::nullopt;
  }
  uint64_t blocks = LittleEndian(superblock, 0x04, 4);
  if ((LittleEndian(superblock, 0x60, 4) & kIncompat64Bit) != 0) {
    blocks |= static_cast<uint64_t>(LittleEndian(superblock, 0x150, 4)) << 32;
  }
  return Ext4Size{.block_bytes = uint64_t{1024} << log_block_size, .blocks = blocks};
}

absl::Status GrowExt4(const UniqueFd& mounted, const std::string& device) {
  const UniqueFd disk(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
  uint64_t disk_bytes = 0;
  if (!disk.valid() || ::ioctl(disk.get(), BLKGETSIZE64, &disk_bytes) != 0) {
    return Failed(device, "size of the disk");
  }
  char superblock[kExt4SuperblockBytes];
  const ssize_t got = ::pread(disk.get(), superblock, sizeof(superblock), kExt4SuperblockOffset);
  if (got < 0) return Failed(device, "read its superblock");
  const auto size = ParseExt4Superblock({superblock, static_cast<size_t>(got)});
  if (!size) return MakeError(Reason::kSandboxStartFailed, absl::StrCat(device, " is no ext4"));
  const uint64_t blocks = disk_bytes / size->block_bytes;
  if (blocks <= size->blocks) return absl::OkStatus();
  if (::ioctl(mounted.get(), kResize, &blocks) != 0) return Failed(device, "resize");
  return absl::OkStatus();
}

}  // namespace msb
