// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Writes a new regular file in pieces. Of one that is large, most goes past the page cache, which
// would cost the guest a copy and its memory, and the files that it works with their place in
// there; where the file system cannot do that, all goes through it. What goes past it goes in large
// pieces, and is waited for on a thread of its own, while the next piece comes in. Zeros become
// holes.

#ifndef MSB_GUEST_AGENT_FILES_BULK_WRITER_H_
#define MSB_GUEST_AGENT_FILES_BULK_WRITER_H_

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "guest-agent/files/direct_io.h"

namespace msb {

// Threading: one thread's.
class BulkWriter {
 public:
  // A file of up to this size stays in the page cache, for whoever reads it next.
  static constexpr uint64_t kCachedBytes = uint64_t{4} << 20;

  // `fd`, of an empty file that stands for `path` in errors, outlives this.
  BulkWriter(int fd, std::string path);
  BulkWriter(const BulkWriter&) = delete;
  BulkWriter& operator=(const BulkWriter&) = delete;
  ~BulkWriter();

  // Where the next bytes of the file go; never empty.
  absl::Span<char> room() { return filling().subspan(held_); }
  // The first `size` bytes of room() are the file's next. kNoSpace, kFileError; also those of what
  // was added before.
  absl::Status Add(size_t size);
  // Nothing is added any more. OK: all is written.
  absl::Status Finish();

 private:
  absl::Span<char> filling();
  bool Begin();  // the thread
  void End();
  static void* ThreadMain(void* self);
  void WritePieces();
  // Leaves the piece to the thread once that has written the one before.
  absl::Status HandOver();
  absl::Status Write(absl::string_view bytes);
  absl::Status WriteRun(absl::string_view bytes);

  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !piece_waits_; }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return piece_waits_ || ended_; }

  const int fd_;
  const std::string path_;
  std::unique_ptr<char[]> small_;  // what fills until there is a thread
  Piece large_;                    // and then
  size_t held_ = 0;
  uint64_t added_ = 0;
  bool may_be_direct_ = true;
  bool ends_in_hole_ = false;  // the thread's, while there is one
  std::optional<pthread_t> thread_;

  absl::Mutex mutex_;
  Piece writing_ ABSL_GUARDED_BY(mutex_);  // the thread's while a piece waits
  bool piece_waits_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_BULK_WRITER_H_
