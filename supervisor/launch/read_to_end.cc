// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/read_to_end.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/poll_timeout.h"

namespace msb {

absl::StatusOr<std::string> ReadToEnd(const UniqueFd& fd, const ReadBounds& bounds) {
  std::string text;
  while (text.size() < bounds.max_bytes) {
    const int timeout_ms = PollTimeoutMs(bounds.deadline);
    if (timeout_ms == 0) {
      return absl::DeadlineExceededError("the other side does not close in time");
    }
    pollfd poll_fd{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&poll_fd, 1, timeout_ms) != 1) continue;
    char block[1024];
    MSB_ASSIGN_OR_RETURN(const ssize_t size, Syscall("read a pipe", [&] {
                           return ::read(fd.get(), block,
                                         std::min(sizeof(block), bounds.max_bytes - text.size()));
                         }));
    if (size == 0) break;
    text.append(block, static_cast<size_t>(size));
  }
  return text;
}

}  // namespace msb
