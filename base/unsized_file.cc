// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/unsized_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace msb {
namespace {

// Most are empty or small, and what is read into has to be cleared first.
constexpr size_t kFirstBytes = 4096;
constexpr size_t kMostBytes = size_t{256} << 10;

}  // namespace

std::optional<std::string> ReadUnsized(int fd) {
  std::string content;
  while (true) {
    const size_t had = content.size();
    const size_t room = std::clamp(had, kFirstBytes, kMostBytes);
    content.resize(had + room);
    const ssize_t got = ::read(fd, content.data() + had, room);
    content.resize(had + static_cast<size_t>(got > 0 ? got : 0));
    // A file such as /proc/kmsg, whose next line nobody waits for.
    if (got == 0 || (got < 0 && errno == EAGAIN)) return content;
    if (got < 0 && errno != EINTR) return std::nullopt;
    if (content.size() > kMaxUnsizedBytes) {
      errno = EFBIG;
      return std::nullopt;
    }
  }
}

}  // namespace msb
