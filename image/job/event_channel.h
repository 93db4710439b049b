// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The socket on which the daemon hears of a job.
//
// Thread-safe.

#ifndef MSB_IMAGE_JOB_EVENT_CHANNEL_H_
#define MSB_IMAGE_JOB_EVENT_CHANNEL_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

// As image.proto promises it to the reader.
inline constexpr size_t kMaxEventBytes = 10u << 20;

class EventChannel {
 public:
  explicit EventChannel(UniqueFd socket) : socket_(std::move(socket)) {}

  // Waits as long as the daemon lives: it is busy with something large, and reads on. An error when
  // it is gone.
  absl::Status Send(const v1::JobEvent& event);

  // At most ten a second of each `what`; says nothing more often, nor where it would have to wait:
  // work does not stand still for want of somebody who hears how far it is. A failure shows at the
  // next Send.
  void Progress(absl::string_view what, uint64_t done_bytes, uint64_t total_bytes);

  // Returns once the daemon has hung up.
  void WaitForHangUp() const;

 private:
  bool MayTellProgress(absl::string_view what);

  const UniqueFd socket_;
  absl::Mutex sending_;  // held for a whole frame
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, absl::Time> next_progress_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb::image

#endif  // MSB_IMAGE_JOB_EVENT_CHANNEL_H_
