// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/bulk_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/status_macros.h"
#include "guest-agent/files/file_channel.h"
#include "guest-agent/files/file_error.h"

namespace msb {
namespace {

// A file of up to this size is read through the page cache, where it may well be.
constexpr uint64_t kCachedBytes = uint64_t{4} << 20;
constexpr size_t kLeastBytes = 4096;

}  // namespace

// A small file needs no large buffer, whose pages would all be touched, and no aligned one, for
// which the heap grows and shrinks with each file.
BulkReader::BulkReader(int fd, std::string path, uint64_t most)
    : fd_(fd),
      path_(std::move(path)),
      capacity_(std::max<size_t>(kLeastBytes, std::min<uint64_t>(most, kMaxDataBytes))) {
  if (most > kCachedBytes && BeginToReadAhead()) {
    taken_ = NewPiece();
  } else {
    small_.reset(new char[capacity_]);
  }
}

BulkReader::~BulkReader() { End(); }

bool BulkReader::BeginToReadAhead() {
  if (!SetDirect(fd_, true)) return false;
  {
    absl::MutexLock lock(&mutex_);
    reading_ = NewPiece();
  }
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, &BulkReader::ThreadMain, this) != 0) {
    SetDirect(fd_, false);
    return false;
  }
  thread_ = thread;
  return true;
}

void BulkReader::End() {
  if (!thread_) return;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  ::pthread_join(*thread_, nullptr);
  thread_.reset();
}

absl::StatusOr<absl::string_view> BulkReader::Next(size_t most) {
  if (left_.empty()) MSB_RETURN_IF_ERROR(TakePiece());
  const absl::string_view next = left_.substr(0, most);
  left_.remove_prefix(next.size());
  return next;
}

absl::Status BulkReader::TakePiece() {
  if (!thread_) {
    MSB_ASSIGN_OR_RETURN(const size_t size, Read(small_.get(), capacity_));
    left_ = {small_.get(), size};
    return absl::OkStatus();
  }
  absl::MutexLock lock(&mutex_, absl::Condition(this, &BulkReader::IsRead));
  MSB_RETURN_IF_ERROR(ahead_->status());
  left_ = {reading_.get(), **ahead_};
  if (left_.empty()) return absl::OkStatus();  // the end, for as often as it is asked for
  std::swap(taken_, reading_);
  ahead_.reset();
  return absl::OkStatus();
}

void* BulkReader::ThreadMain(void* self) {
  static_cast<BulkReader*>(self)->ReadAhead();
  return nullptr;
}

void BulkReader::ReadAhead() {
  while (true) {
    char* piece = nullptr;
    {
      absl::MutexLock lock(&mutex_, absl::Condition(this, &BulkReader::HasWork));
      if (ended_) return;
      piece = reading_.get();
    }
    absl::StatusOr<size_t> read = Read(piece, PieceBytes());
    absl::MutexLock lock(&mutex_);
    ahead_ = std::move(read);
  }
}

absl::StatusOr<size_t> BulkReader::Read(char* buffer, size_t size) {
  while (true) {
    const ssize_t got = ::read(fd_, buffer, size);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return size_t{0};  // a FIFO or device that has nothing now
    // Not on this file system after all, or not from where a short read has left off.
    if (errno == EINVAL && SetDirect(fd_, false)) continue;
    return FileError("read", path_);
  }
}

}  // namespace msb
