// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Lets the file system of a disk fill it: the host hands out a small template on a large sparse
// disk.

#ifndef MSB_GUEST_AGENT_BOOT_EXT4_GROW_H_
#define MSB_GUEST_AGENT_BOOT_EXT4_GROW_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

struct Ext4Size {
  uint64_t block_bytes;
  uint64_t blocks;
};

inline constexpr size_t kExt4SuperblockOffset = 1024;
inline constexpr size_t kExt4SuperblockBytes = 1024;

// Of a superblock's bytes (Documentation/filesystems/ext4/super.rst); nullopt when it is none.
std::optional<Ext4Size> ParseExt4Superblock(absl::string_view superblock);

// Grows the mounted file system with the directory `mounted` in it to the size of `device`, when
// that is larger by a block or more.
absl::Status GrowExt4(const UniqueFd& mounted, const std::string& device);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_EXT4_GROW_H_
