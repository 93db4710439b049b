// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One change of a file at a time, so that what is foreseen of it (file_space.h) is not another's
// doing when it comes. An honest guest's kernel hardly ever asks for two; a hostile one must not
// gain by it.
//
// Threading: safe.

#ifndef MSB_FILE_SERVER_QUOTA_FILE_TURNS_H_
#define MSB_FILE_SERVER_QUOTA_FILE_TURNS_H_

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "file-server/quota/file_id.h"

namespace msb {

class FileTurns {
 public:
  // Waits until nobody has a turn of either file (both may be the same), and calls `before_wait`
  // before it does. Whoever has a directory's turn may take that of a file, or of what was just
  // made in it, not the other way round.
  void Take(FileId one, FileId other, const std::function<void()>& before_wait);
  void Return(FileId one, FileId other);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_set<FileId> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_QUOTA_FILE_TURNS_H_
