// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The eventfd of a queue's kick, which another process may have made.

#ifndef MSB_VMM_DEVICES_VIRTIO_KICK_H_
#define MSB_VMM_DEVICES_VIRTIO_KICK_H_

#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace msb {

// Reads the counter of `kick`. False when it is no eventfd: those neither end nor fail, and what
// does would be readable for ever. Such a one is not to be waited for any more.
inline bool TakeKick(int kick) {
  uint64_t count = 0;
  const ssize_t got = ::read(kick, &count, sizeof(count));
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_KICK_H_
