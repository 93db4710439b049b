// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Threads for what may block. None exists before there is work; one that has waited for work in
// vain for a while ends.

#ifndef MSB_GUEST_AGENT_LINK_WORKER_POOL_H_
#define MSB_GUEST_AGENT_LINK_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace msb {

class WorkerPool {
 public:
  using Task = std::function<void()>;

  // At most `limit` tasks run at once; more wait in line.
  explicit WorkerPool(size_t limit) : limit_(limit) {}
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  // Waits for the tasks that run; those in line are dropped.
  ~WorkerPool();

  // From any thread. False when no thread could be made for it (and none exists).
  bool Run(Task task);
  // Tasks that run or wait in line.
  size_t busy() const;

 private:
  static constexpr size_t kStackBytes = 256 * 1024;
  static constexpr absl::Duration kIdle = absl::Seconds(30);

  static void* ThreadMain(void* pool);
  void Serve();
  bool StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t limit_;
  mutable absl::Mutex mutex_;
  absl::CondVar work_;
  absl::CondVar ended_;
  std::deque<Task> line_ ABSL_GUARDED_BY(mutex_);
  size_t threads_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_WORKER_POOL_H_
