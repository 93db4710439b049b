// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/threads/loop_thread.h"

#include <pthread.h>

#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb {

absl::StatusOr<std::unique_ptr<LoopThread>> LoopThread::Start(const std::string& name) {
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  std::unique_ptr<LoopThread> thread(new LoopThread(std::move(loop)));
  thread->thread_ = std::thread([loop = thread->loop_.get()] {
    const absl::Status status = loop->Run();
    if (status.ok()) return;
    MSB_LOG(kError) << "an event loop failed: " << status;
    MSB_CHECK(false);  // the daemon without it would hang; a restart adopts the sandboxes
  });
  ::pthread_setname_np(thread->thread_.native_handle(), name.c_str());
  return thread;
}

void LoopThread::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

LoopThread::~LoopThread() { Stop(); }

}  // namespace msb
