// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/worker_pool.h"

#include <pthread.h>

#include <utility>

namespace msb {

WorkerPool::~WorkerPool() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  line_.clear();
  work_.SignalAll();
  while (threads_ > 0) ended_.Wait(&mutex_);
}

bool WorkerPool::Run(Task task) {
  absl::MutexLock lock(&mutex_);
  line_.push_back(std::move(task));
  if (idle_ >= line_.size()) {
    work_.Signal();
    return true;
  }
  if (threads_ < limit_ && !StartThread() && threads_ == 0) {
    line_.pop_back();
    return false;
  }
  return true;
}

size_t WorkerPool::busy() const {
  absl::MutexLock lock(&mutex_);
  return line_.size() + threads_ - idle_;
}

bool WorkerPool::StartThread() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const bool started = ::pthread_create(&thread, &attributes, &ThreadMain, this) == 0;
  ::pthread_attr_destroy(&attributes);
  if (started) ++threads_;
  return started;
}

void* WorkerPool::ThreadMain(void* pool) {
  static_cast<WorkerPool*>(pool)->Serve();
  return nullptr;
}

void WorkerPool::Serve() {
  mutex_.Lock();
  while (!stopping_) {
    if (line_.empty()) {
      ++idle_;
      const bool timed_out = work_.WaitWithTimeout(&mutex_, kIdle);
      --idle_;
      if (timed_out && line_.empty()) break;
      continue;
    }
    Task task = std::move(line_.front());
    line_.pop_front();
    mutex_.Unlock();
    task();
    task = nullptr;
    mutex_.Lock();
  }
  --threads_;
  ended_.SignalAll();
  mutex_.Unlock();
}

}  // namespace msb
