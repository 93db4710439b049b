// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a file takes of its file system, and the most that it can take after a change. Pure, but for
// what asks about a descriptor.

#ifndef MSB_FILE_SERVER_QUOTA_FILE_SPACE_H_
#define MSB_FILE_SERVER_QUOTA_FILE_SPACE_H_

#include <sys/stat.h>

#include <cstdint>

#include "file-server/fuse/errno_or.h"
#include "file-server/quota/file_id.h"

namespace msb {

// Whether a file system has a block in st_blocks as soon as the call that took it returns. Where
// they come late (ZFS), from another machine, or from a program, a file counts by its size. XFS
// takes as much again while a file grows (kAhead), and gives it back when it is closed.
enum class BlockCount { kAtOnce, kAhead, kLate };

struct FileSpace {
  FileId id;
  mode_t type = S_IFREG;
  int64_t size = 0;
  int64_t allocated = 0;  // st_blocks, in bytes
  BlockCount blocks = BlockCount::kLate;
};

ErrnoOr<FileSpace> SpaceOf(int fd);
// Of one whose file system has been asked.
ErrnoOr<FileSpace> SpaceOf(int fd, BlockCount blocks);

// Where blocks are taken ahead, of a regular file no more than its size, in blocks of 4 KiB. What a
// guest itself takes behind a file's end would not count then, so that it must not
// (FALLOC_FL_KEEP_SIZE).
int64_t TakenBytes(const FileSpace& space);

// At most so much does a regular file take when `length` bytes from `start` on have their storage,
// in blocks of 4 KiB: where they are larger (ext4's bigalloc, tmpfs's huge pages), the rest of one
// is counted when it is there.
int64_t MostAfterWrite(const FileSpace& now, int64_t start, int64_t length);
int64_t MostAfterResize(const FileSpace& now, int64_t size);

// Whether there is no hole in the range, which then takes nothing that it has not.
bool IsWithoutHole(int fd, int64_t start, int64_t length);

}  // namespace msb

#endif  // MSB_FILE_SERVER_QUOTA_FILE_SPACE_H_
