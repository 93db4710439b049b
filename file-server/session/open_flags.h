// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What of a guest's flags and modes reaches the host.

#ifndef MSB_FILE_SERVER_SESSION_OPEN_FLAGS_H_
#define MSB_FILE_SERVER_SESSION_OPEN_FLAGS_H_

#include <fcntl.h>
#include <sys/stat.h>

namespace msb {

// No setuid, no setgid; on a directory setgid says whose group its files get.
inline constexpr mode_t kNewFileModeBits = 0777 | S_ISVTX;
inline constexpr mode_t kNewDirectoryModeBits = 0777 | S_ISVTX | S_ISGID;

// The access mode, truncation and synchronous writing. Not: O_APPEND, which each write says for
// itself; O_DIRECT, O_NOATIME, O_NONBLOCK, O_PATH, O_TMPFILE, O_ASYNC and what the future brings.
// The guest's numbers are ours: both are x86-64.
constexpr int FilterOpenFlags(int flags) {
  return flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC);
}

constexpr bool WantsToWrite(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

}  // namespace msb

#endif  // MSB_FILE_SERVER_SESSION_OPEN_FLAGS_H_
