// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Threads for what blocks.

#ifndef MSB_SUPERVISOR_THREADS_WORKER_POOL_H_
#define MSB_SUPERVISOR_THREADS_WORKER_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace msb {

// Thread-safe.
class WorkerPool {
 public:
  using Task = std::function<void()>;

  explicit WorkerPool(uint32_t threads);
  // Runs what was queued, then ends.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Runs `task` on one of the threads; in the order of the calls they begin, not end.
  void Run(Task task);

  // Runs what was queued and what those tasks queue, then ends the threads.
  void Stop();

 private:
  void Work();
  bool Ready() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !tasks_.empty(); }

  absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_THREADS_WORKER_POOL_H_
