// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads a guest's console log while its VMM writes it.
//
// The VMM lets the file grow to a limit; then its last half moves to the start and the file is cut
// to that: a rewind. A reader whose offset is behind the file's end goes on at offset - limit/2.

#ifndef MSB_SUPERVISOR_SANDBOX_CONSOLE_LOG_H_
#define MSB_SUPERVISOR_SANDBOX_CONSOLE_LOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb {

// One reader, at a place of its own. Threading: one thread at a time.
class ConsoleLogReader {
 public:
  // `tail_bytes` from the end; 0: all that is kept. A missing file is an empty one, looked for
  // again at each read.
  ConsoleLogReader(std::string path, uint64_t limit_bytes, uint64_t tail_bytes)
      : path_(std::move(path)), half_(limit_bytes / 2), tail_bytes_(tail_bytes) {}

  // What comes next, at most 64 KiB; empty at the end of what there is.
  absl::StatusOr<std::string> Read();
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  const uint64_t half_;
  const uint64_t tail_bytes_;
  UniqueFd fd_;
  uint64_t offset_ = 0;
};

// Follows a log without polling. Thread-safe, but for Start.
class ConsoleFollower : public std::enable_shared_from_this<ConsoleFollower> {
 public:
  enum class Follow { kToTheEnd, kWhatComes };
  // Answers one Next: a piece of the log, or the empty string at its end. On the loop.
  using OnPiece = std::function<void(absl::StatusOr<std::string>)>;

  static std::shared_ptr<ConsoleFollower> Start(EventLoop& loop, ConsoleLogReader reader,
                                                Follow follow);
  ~ConsoleFollower();
  ConsoleFollower(const ConsoleFollower&) = delete;
  ConsoleFollower& operator=(const ConsoleFollower&) = delete;

  // One at a time.
  void Next(OnPiece done);
  // Nothing more will be written: the end of the file is the end.
  void Finish();
  // The file may have been made since.
  void LookAgain();
  void Cancel();

 private:
  ConsoleFollower(EventLoop& loop, ConsoleLogReader reader, Follow follow)
      : loop_(loop), reader_(std::move(reader)), follow_(follow) {}
  void Look();
  void WatchFile();

  EventLoop& loop_;
  // All on the loop:
  ConsoleLogReader reader_;
  Follow follow_;
  UniqueFd inotify_;
  bool watching_ = false;
  OnPiece next_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_CONSOLE_LOG_H_
