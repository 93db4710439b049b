// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a request is slow by, so that others are served meanwhile (server.h).

#ifndef MSB_FILE_SERVER_SESSION_SLOW_H_
#define MSB_FILE_SERVER_SESSION_SLOW_H_

#include <sys/stat.h>

#include <cstdint>

namespace msb {

// Freeing so much takes a file system a millisecond or more, and another thread some microseconds
// to go on with the next request.
inline constexpr int64_t kSlowToFreeBytes = 16 << 20;

// Whether it takes long to free what the file `info` has of its storage.
inline bool IsSlowToFree(const struct stat& info) {
  constexpr int64_t kBlockBytes = 512;
  return info.st_blocks >= kSlowToFreeBytes / kBlockBytes;
}

}  // namespace msb

#endif  // MSB_FILE_SERVER_SESSION_SLOW_H_
