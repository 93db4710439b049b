// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Ends work that blocks, from another thread.

#ifndef MSB_SUPERVISOR_LAUNCH_CANCELLATION_H_
#define MSB_SUPERVISOR_LAUNCH_CANCELLATION_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace msb {

// Thread-safe. Outlives whoever waits for it.
class Cancellation {
 public:
  Cancellation() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  // For good. Without a descriptor to tell it by (the process has none left) the work ends by its
  // deadlines.
  void Cancel() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof(one));
  }
  bool cancelled() const {
    pollfd event{.fd = event_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&event, 1, 0) > 0;
  }
  // Readable once it is cancelled.
  int fd() const { return event_.get(); }

 private:
  const UniqueFd event_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_CANCELLATION_H_
