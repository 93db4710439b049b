// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Ends what several threads wait for. Thread-safe.

#ifndef MSB_IMAGE_REGISTRY_CANCELLATION_H_
#define MSB_IMAGE_REGISTRY_CANCELLATION_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/unique_fd.h"

namespace msb::image {

class Cancellation {
 public:
  Cancellation() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    MSB_CHECK(event_.get() >= 0);
  }

  void Cancel() {
    const uint64_t one = 1;
    // Cannot fail: the counter does not overflow by as many calls as there are threads.
    MSB_CHECK(::write(event_.get(), &one, sizeof one) == sizeof one);
  }
  bool cancelled() const { return !WaitFor(absl::ZeroDuration()); }

  // Readable once cancelled, for poll(2).
  int fd() const { return event_.get(); }

  // False when it was cancelled before the time was over.
  bool WaitFor(absl::Duration duration) const {
    const absl::Time end = absl::Now() + duration;
    while (true) {
      const int64_t left =
          absl::ToInt64Milliseconds(absl::Ceil(end - absl::Now(), absl::Milliseconds(1)));
      pollfd watched{.fd = event_.get(), .events = POLLIN, .revents = 0};
      const int ready = ::poll(&watched, 1, left < 0 ? 0 : static_cast<int>(left));
      if (ready > 0) return false;
      if (absl::Now() >= end) return true;
    }
  }

 private:
  const UniqueFd event_;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_CANCELLATION_H_
