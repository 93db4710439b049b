// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guest's console output in a file that stays small: it holds the newest limit/2..limit bytes.
//
// The file grows to exactly `limit`. When more comes, the last half of it moves to the start and
// the file is cut to limit/2: a rewind. So of `total` bytes ever written the first
//     total <= limit ? 0 : ceil((total - limit) / half) * half,   half = limit / 2
// are no longer there, and the byte at file offset 0 has that number. A reader that follows the
// file
// - keeps the same inode and its own offset, and reads to the end of the file;
// - sees that the file has become shorter than its offset: a rewind. It goes on at offset - half;
// it has
//   lost nothing unless that is negative, or another rewind came before it looked (it can tell by
//   Stats.console_bytes of the control socket, which is `total`).
// While a rewind is under way a reader at the end of the file sees no wrong byte: what is rewritten
// lies behind it.
//
// Threading: one thread.

#ifndef MSB_VMM_MACHINE_CONSOLE_LOG_H_
#define MSB_VMM_MACHINE_CONSOLE_LOG_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

class ConsoleLog {
 public:
  static constexpr uint64_t kDefaultLimitBytes = 1 << 20;
  static constexpr uint64_t kMinLimitBytes = 4096;
  static constexpr uint64_t kMaxLimitBytes = 1 << 30;

  // Goes on behind what `file`, a regular one, holds already. `limit_bytes` is rounded down to an
  // even number. kHostError when the file cannot be used.
  static absl::StatusOr<ConsoleLog> Create(UniqueFd file, uint64_t limit_bytes);

  // An error (a full disk) loses the bytes and leaves the log usable.
  absl::Status Append(absl::string_view bytes);

  // Ever written, those of an earlier process as far as the file had them.
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  ConsoleLog(UniqueFd file, uint64_t limit_bytes, uint64_t size)
      : file_(std::move(file)), limit_bytes_(limit_bytes), size_(size), total_bytes_(size) {}
  absl::Status Write(absl::string_view bytes, uint64_t offset);
  absl::Status Rewind();

  UniqueFd file_;
  uint64_t limit_bytes_;
  uint64_t size_;
  uint64_t total_bytes_;
};

}  // namespace msb

#endif  // MSB_VMM_MACHINE_CONSOLE_LOG_H_
