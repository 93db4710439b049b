// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/agent/warm_pool.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

namespace msb {

void WarmPool::Fill() {
  while (connect_ && ready_.size() + connecting_ < size_) {
    ++connecting_;
    connect_([weak = weak_from_this()](absl::StatusOr<UniqueFd> fd) {
      const auto self = weak.lock();
      if (!self) return;
      --self->connecting_;
      if (fd.ok() && self->connect_) self->Add(*std::move(fd));
    });
  }
}

void WarmPool::Add(UniqueFd fd) {
  const int number = fd.get();
  // The agent says nothing before an operation: any event is the connection's end.
  const absl::Status watched =
      loop_.Watch(number, EPOLLIN | EPOLLRDHUP, [weak = weak_from_this(), number](uint32_t) {
        if (const auto self = weak.lock()) self->Drop(number);
      });
  if (watched.ok()) ready_.push_back(std::move(fd));
}

UniqueFd WarmPool::Take() {
  if (ready_.empty()) return UniqueFd();
  UniqueFd fd = std::move(ready_.front());
  ready_.pop_front();
  loop_.Unwatch(fd.get());
  Fill();
  return fd;
}

void WarmPool::Drop(int fd) {
  loop_.Unwatch(fd);
  ready_.erase(std::remove_if(ready_.begin(), ready_.end(),
                              [fd](const UniqueFd& held) { return held.get() == fd; }),
               ready_.end());
}

void WarmPool::Close() {
  connect_ = nullptr;
  for (const UniqueFd& fd : ready_) loop_.Unwatch(fd.get());
  ready_.clear();
}

}  // namespace msb
