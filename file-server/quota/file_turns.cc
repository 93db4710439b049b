// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/file_turns.h"

namespace msb {

void FileTurns::Take(FileId one, FileId other, const std::function<void()>& before_wait) {
  const auto are_free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !taken_.contains(one) && !taken_.contains(other);
  };
  mutex_.Lock();
  if (!are_free()) {
    mutex_.Unlock();
    before_wait();
    mutex_.Lock();
    mutex_.Await(absl::Condition(&are_free));
  }
  taken_.insert(one);
  taken_.insert(other);
  mutex_.Unlock();
}

void FileTurns::Return(FileId one, FileId other) {
  absl::MutexLock lock(&mutex_);
  taken_.erase(one);
  taken_.erase(other);
}

}  // namespace msb
