// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/block/block_worker.h"

#include <pthread.h>
#include <signal.h>

#include <iterator>

namespace msb {

BlockWorker::BlockWorker(const DiskFile& disk, std::string id, Callbacks callbacks)
    : disk_(disk),
      id_(std::move(id)),
      callbacks_(std::move(callbacks)),
      thread_([this] { Run(); }) {}

BlockWorker::~BlockWorker() {
  Abandon();
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void BlockWorker::Submit(std::vector<BlockRequest> requests) {
  absl::MutexLock lock(&mutex_);
  std::move(requests.begin(), requests.end(), std::back_inserter(queue_));
}

std::vector<BlockWorker::Finished> BlockWorker::TakeFinished() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(finished_, {});
}

void BlockWorker::WaitIdle() {
  absl::MutexLock lock(&mutex_, absl::Condition(this, &BlockWorker::IsIdleLocked));
}

void BlockWorker::Abandon() {
  absl::MutexLock lock(&mutex_);
  queue_.clear();
  mutex_.Await(absl::Condition(this, &BlockWorker::IsIdleLocked));
  finished_.clear();
}

void BlockWorker::Run() {
  // Signals are for the threads that expect them.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  ::pthread_setname_np(::pthread_self(), "msb-disk");
  if (callbacks_.on_thread_start) callbacks_.on_thread_start();

  absl::MutexLock lock(&mutex_);
  while (true) {
    mutex_.Await(absl::Condition(this, &BlockWorker::HasWorkLocked));
    if (stopping_) return;
    BlockRequest request = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    mutex_.Unlock();
    const virtio::BlockStatus status = ExecuteBlockRequest(request, disk_, id_);
    mutex_.Lock();
    busy_ = false;
    const bool is_first = finished_.empty();
    finished_.push_back({std::move(request), status});
    if (!is_first) continue;
    mutex_.Unlock();
    callbacks_.on_finished();
    mutex_.Lock();
  }
}

}  // namespace msb
