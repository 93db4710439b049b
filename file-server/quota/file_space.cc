// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/file_space.h"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

namespace msb {
namespace {

constexpr int64_t kStatBlockBytes = 512;
constexpr int64_t kBlockBytes = 4096;
// No file takes more, whatever it says: sums of some such numbers are numbers still.
constexpr int64_t kMostBytes = int64_t{1} << 61;

// Those that count what a write has only reserved (delayed allocation) too. Not overlayfs, which
// says what the file system below it says.
constexpr uint32_t kCountAtOnce[] = {EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                     TMPFS_MAGIC};
constexpr uint32_t kXfsMagic = 0x58465342;

int64_t Bounded(int64_t bytes) { return std::clamp<int64_t>(bytes, 0, kMostBytes); }
int64_t RoundDown(int64_t bytes) { return bytes & ~(kBlockBytes - 1); }
int64_t RoundUp(int64_t bytes) { return RoundDown(Bounded(bytes) + kBlockBytes - 1); }

BlockCount BlockCountOf(int fd) {
  struct statfs info;
  if (::fstatfs(fd, &info) != 0) return BlockCount::kLate;
  const auto magic = static_cast<uint32_t>(info.f_type);
  if (magic == kXfsMagic) return BlockCount::kAhead;
  const bool at_once =
      std::find(std::begin(kCountAtOnce), std::end(kCountAtOnce), magic) != std::end(kCountAtOnce);
  return at_once ? BlockCount::kAtOnce : BlockCount::kLate;
}

}  // namespace

ErrnoOr<FileSpace> SpaceOf(int fd) { return SpaceOf(fd, BlockCountOf(fd)); }

ErrnoOr<FileSpace> SpaceOf(int fd, BlockCount blocks) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return LastErrno();
  return FileSpace{
      .id = IdOf(info),
      .type = info.st_mode & S_IFMT,
      .size = Bounded(info.st_size),
      .allocated = Bounded(std::min<int64_t>(info.st_blocks, INT64_MAX >> 9) * kStatBlockBytes),
      .blocks = blocks};
}

int64_t TakenBytes(const FileSpace& space) {
  if (space.blocks == BlockCount::kLate) return RoundUp(space.size);
  if (space.blocks == BlockCount::kAtOnce || space.type != S_IFREG) return space.allocated;
  return std::min(space.allocated, RoundUp(space.size));
}

int64_t MostAfterWrite(const FileSpace& now, int64_t start, int64_t length) {
  if (start >= kMostBytes) return kMostBytes;
  const int64_t end = Bounded(start) + Bounded(length);
  const int64_t by_size = RoundUp(std::max(now.size, Bounded(end)));
  if (now.blocks == BlockCount::kLate) return by_size;
  const int64_t touched = RoundUp(end) - RoundDown(start);
  const int64_t by_blocks = now.allocated + touched;
  // Some of it is not for its content: that there is room within its size says nothing.
  if (now.blocks == BlockCount::kAtOnce && now.allocated > by_size) return by_blocks;
  return std::min(by_size, by_blocks);
}

int64_t MostAfterResize(const FileSpace& now, int64_t size) {
  FileSpace resized = now;
  resized.size = Bounded(size);
  return TakenBytes(resized);
}

bool IsWithoutHole(int fd, int64_t start, int64_t length) {
  return ::lseek(fd, start, SEEK_HOLE) >= Bounded(start) + Bounded(length);
}

}  // namespace msb
