// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The thread on which one disk waits for the host's storage, so that the event loop, and with it
// the sandbox's sockets, does not. Requests are carried out one after the other, in their order.
//
// Threading: all calls from the thread that made it, but for the callbacks, which come on the
// worker.

#ifndef MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_WORKER_H_
#define MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_WORKER_H_

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "vmm/devices/virtio/block/block_request.h"
#include "vmm/devices/virtio/block/disk_file.h"

namespace msb {

class BlockWorker {
 public:
  struct Finished {
    BlockRequest request;
    virtio::BlockStatus status;
  };
  struct Callbacks {
    std::function<void()>
        on_thread_start;  // first thing of the thread; its seccomp filter. May be null
    std::function<void()> on_finished;  // TakeFinished has something where it had nothing
  };

  // `disk` outlives the worker. `id` as in ExecuteBlockRequest.
  BlockWorker(const DiskFile& disk, std::string id, Callbacks callbacks);
  BlockWorker(const BlockWorker&) = delete;
  BlockWorker& operator=(const BlockWorker&) = delete;
  // Waits for the request at hand; the others are dropped.
  ~BlockWorker();

  void Submit(std::vector<BlockRequest> requests);
  std::vector<Finished> TakeFinished();

  // Returns when everything that was submitted is finished.
  void WaitIdle();
  // Drops what has not begun, waits for the request at hand, and forgets what is finished: the
  // worker then touches no buffer of any request.
  void Abandon();

 private:
  void Run();
  bool HasWorkLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  }
  bool IsIdleLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queue_.empty() && !busy_;
  }

  const DiskFile& disk_;
  const std::string id_;
  const Callbacks callbacks_;
  absl::Mutex mutex_;
  std::deque<BlockRequest> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<Finished> finished_ ABSL_GUARDED_BY(mutex_);
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_WORKER_H_
