// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One line on a terminal that says what is being waited for; nothing when stderr is no terminal.

#ifndef MSB_SDKS_MSBCTL_PROGRESS_H_
#define MSB_SDKS_MSBCTL_PROGRESS_H_

#include <cstdint>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace msb {

class Progress {
 public:
  // Shown from half a second on: what is quick needs no progress.
  explicit Progress(std::string what);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  // Shows a count of bytes, with the rate, and of `total` where it is known (not 0).
  void SetBytes(uint64_t done, uint64_t total);

 private:
  void Draw();
  std::string Line() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string what_;
  const absl::Time started_;
  absl::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t total_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_PROGRESS_H_
