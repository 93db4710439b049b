// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads a file in order. One that is large goes past the page cache where its file system
// can do that, which saves the guest a copy and its memory, in large pieces that a thread of its
// own reads ahead while the piece before is sent.

#ifndef MSB_GUEST_AGENT_FILES_BULK_READER_H_
#define MSB_GUEST_AGENT_FILES_BULK_READER_H_

#include <pthread.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "guest-agent/files/direct_io.h"

namespace msb {

// Threading: one thread's.
class BulkReader {
 public:
  // Reads from where `fd`, which stands for `path` in errors and outlives this, stands at the
  // moment. `most` bytes will be asked for: a hint.
  BulkReader(int fd, std::string path, uint64_t most);
  BulkReader(const BulkReader&) = delete;
  BulkReader& operator=(const BulkReader&) = delete;
  ~BulkReader();

  // The next bytes of the file, `most` or less; none at its end. Valid until the next call.
  // kFileError.
  absl::StatusOr<absl::string_view> Next(size_t most);

 private:
  bool BeginToReadAhead();
  void End();
  static void* ThreadMain(void* self);
  void ReadAhead();
  absl::StatusOr<size_t> Read(char* buffer, size_t size);
  absl::Status TakePiece();

  bool IsRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ahead_.has_value(); }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !ahead_ || ended_; }

  const int fd_;
  const std::string path_;
  const size_t capacity_;          // of small_
  std::unique_ptr<char[]> small_;  // where nothing is read ahead
  Piece taken_;
  absl::string_view left_;  // of the one of both that there is
  std::optional<pthread_t> thread_;

  absl::Mutex mutex_;
  Piece reading_ ABSL_GUARDED_BY(mutex_);  // the thread's until it is read
  std::optional<absl::StatusOr<size_t>> ahead_ ABSL_GUARDED_BY(mutex_);  // how much of it
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_BULK_READER_H_
