// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/console_log.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;

}  // namespace

absl::StatusOr<std::string> ConsoleLogReader::Read() {
  const bool first = !fd_.valid();
  if (first) fd_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd_.valid() && errno == ENOENT) return std::string();
  if (!fd_.valid()) {
    return WithReason(Reason::kHostError, "console log", absl::ErrnoToStatus(errno, "open"));
  }
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(fd_.get(), &info); }));
  if (!S_ISREG(info.st_mode)) return MakeError(Reason::kHostError, "the console log is no file");
  const auto size = static_cast<uint64_t>(info.st_size);
  if (first && tail_bytes_ > 0 && size > tail_bytes_) offset_ = size - tail_bytes_;
  if (size < offset_) offset_ = offset_ > half_ ? std::min(offset_ - half_, size) : 0;
  std::string piece(kPieceBytes, '\0');
  MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read the console log", [&] {
                         return ::pread(fd_.get(), piece.data(), piece.size(),
                                        static_cast<off_t>(offset_));
                       }));
  piece.resize(static_cast<size_t>(got));
  offset_ += piece.size();
  return piece;
}

std::shared_ptr<ConsoleFollower> ConsoleFollower::Start(EventLoop& loop, ConsoleLogReader reader,
                                                        Follow follow) {
  return std::shared_ptr<ConsoleFollower>(new ConsoleFollower(loop, std::move(reader), follow));
}

ConsoleFollower::~ConsoleFollower() = default;

void ConsoleFollower::Next(OnPiece done) {
  loop_.Post([self = shared_from_this(), done = std::move(done)]() mutable {
    self->next_ = std::move(done);
    self->Look();
  });
}

void ConsoleFollower::Finish() {
  loop_.Post([self = shared_from_this()] {
    self->follow_ = Follow::kToTheEnd;
    self->Look();
  });
}

void ConsoleFollower::LookAgain() {
  loop_.Post([self = shared_from_this()] { self->Look(); });
}

void ConsoleFollower::Cancel() {
  loop_.Post([self = shared_from_this()] {
    self->next_ = nullptr;
    self->follow_ = Follow::kToTheEnd;
    if (self->watching_) self->loop_.Unwatch(self->inotify_.get());
    self->watching_ = false;
    self->inotify_.Reset();
  });
}

// Watched before it is read: what is written in between is told by an event.
void ConsoleFollower::Look() {
  if (!next_) return;
  if (follow_ == Follow::kWhatComes && !watching_) WatchFile();
  absl::StatusOr<std::string> piece = reader_.Read();
  if (piece.ok() && piece->empty() && follow_ == Follow::kWhatComes) return;
  const OnPiece next = std::exchange(next_, nullptr);
  next(std::move(piece));
}

void ConsoleFollower::WatchFile() {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  // Without the file, or without a watch, LookAgain and Finish still tell of news.
  if (!inotify.valid() ||
      ::inotify_add_watch(inotify.get(), reader_.path().c_str(), IN_MODIFY) < 0) {
    return;
  }
  inotify_ = std::move(inotify);
  const auto read_events = [weak = weak_from_this()](uint32_t) {
    const auto self = weak.lock();
    if (!self) return;
    char events[4096];
    while (::read(self->inotify_.get(), events, sizeof(events)) > 0) {
    }
    self->Look();
  };
  watching_ = loop_.Watch(inotify_.get(), EPOLLIN, read_events).ok();
}

}  // namespace msb
