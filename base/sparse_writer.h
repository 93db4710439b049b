// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Writes a new file in order, with a hole for each block of zeros.

#ifndef MSB_BASE_SPARSE_WRITER_H_
#define MSB_BASE_SPARSE_WRITER_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace msb {

// Threading: one thread's. Both methods return false when the system refuses, and errno says why.
class SparseWriter {
 public:
  // Zeros of this length and alignment become a hole.
  static constexpr size_t kBlockBytes = 4096;

  // `fd`, of an empty regular file, outlives this.
  explicit SparseWriter(int fd) : fd_(fd) {}

  bool Write(absl::string_view data);
  // Nothing follows. The file may end in a hole.
  bool End();

 private:
  bool WriteRun(absl::string_view& data, size_t run);

  int fd_;
  uint64_t offset_ = 0;
};

// Of at least one byte.
bool IsZero(absl::string_view bytes);

}  // namespace msb

#endif  // MSB_BASE_SPARSE_WRITER_H_
