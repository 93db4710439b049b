// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/bulk_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/sparse_writer.h"
#include "base/status_macros.h"
#include "guest-agent/files/file_error.h"

namespace msb {
namespace {

// Zeros of this length and alignment become a hole: not less, for the pieces between holes shall be
// large ones.
constexpr size_t kHoleBytes = 64 * 1024;
// What is written at once through the page cache: a small file takes no large buffer, whose pages
// would all be touched. Pieces end where one that goes past the cache may begin.
constexpr size_t kSmallBytes = 256 * 1024;
static_assert(BulkWriter::kCachedBytes % kSmallBytes == 0 && kSmallBytes % kHoleBytes == 0 &&
              kMinPieceBytes % kHoleBytes == 0);

}  // namespace

BulkWriter::BulkWriter(int fd, std::string path)
    : fd_(fd), path_(std::move(path)), small_(new char[kSmallBytes]) {}

BulkWriter::~BulkWriter() { End(); }

absl::Span<char> BulkWriter::filling() {
  if (thread_) return {large_.get(), PieceBytes()};
  return {small_.get(), kSmallBytes};
}

absl::Status BulkWriter::Add(size_t size) {
  MSB_CHECK(size <= room().size());
  held_ += size;
  if (!room().empty()) return absl::OkStatus();
  if (thread_) {
    MSB_RETURN_IF_ERROR(HandOver());
  } else {
    MSB_RETURN_IF_ERROR(Write({small_.get(), held_}));
  }
  added_ += held_;
  held_ = 0;
  if (added_ >= kCachedBytes && !thread_ && may_be_direct_) may_be_direct_ = Begin();
  return absl::OkStatus();
}

absl::Status BulkWriter::Finish() {
  const absl::Span<char> rest = filling().first(held_);
  End();
  absl::MutexLock lock(&mutex_);
  MSB_RETURN_IF_ERROR(failure_);
  SetDirect(fd_, false);  // for a piece that is no whole one
  MSB_RETURN_IF_ERROR(Write({rest.data(), rest.size()}));
  if (!ends_in_hole_) return absl::OkStatus();
  const off_t end = ::lseek(fd_, 0, SEEK_CUR);
  if (end < 0 || ::ftruncate(fd_, end) != 0) return FileError("write", path_);
  return absl::OkStatus();
}

bool BulkWriter::Begin() {
  if (!SetDirect(fd_, true)) return false;
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, &BulkWriter::ThreadMain, this) != 0) {
    SetDirect(fd_, false);
    return false;
  }
  thread_ = thread;
  large_ = NewPiece();
  absl::MutexLock lock(&mutex_);
  writing_ = NewPiece();
  return true;
}

void BulkWriter::End() {
  if (!thread_) return;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  ::pthread_join(*thread_, nullptr);
  thread_.reset();
}

absl::Status BulkWriter::HandOver() {
  absl::MutexLock lock(&mutex_, absl::Condition(this, &BulkWriter::IsIdle));
  MSB_RETURN_IF_ERROR(failure_);
  std::swap(large_, writing_);
  piece_waits_ = true;
  return absl::OkStatus();
}

void* BulkWriter::ThreadMain(void* self) {
  static_cast<BulkWriter*>(self)->WritePieces();
  return nullptr;
}

void BulkWriter::WritePieces() {
  while (true) {
    const char* piece = nullptr;
    {
      absl::MutexLock lock(&mutex_, absl::Condition(this, &BulkWriter::HasWork));
      if (!piece_waits_) return;
      piece = writing_.get();
    }
    const absl::Status written = Write({piece, PieceBytes()});
    absl::MutexLock lock(&mutex_);
    failure_.Update(written);
    piece_waits_ = false;
  }
}

absl::Status BulkWriter::Write(absl::string_view bytes) {
  const auto begins_with_zeros = [](absl::string_view rest) {
    return rest.size() >= kHoleBytes && IsZero(rest.substr(0, kHoleBytes));
  };
  while (!bytes.empty()) {
    ends_in_hole_ = begins_with_zeros(bytes);
    if (ends_in_hole_) {
      if (::lseek(fd_, kHoleBytes, SEEK_CUR) < 0) return FileError("write", path_);
      bytes.remove_prefix(kHoleBytes);
      continue;
    }
    size_t run = 0;
    while (run < bytes.size() && !begins_with_zeros(bytes.substr(run))) {
      run += std::min(kHoleBytes, bytes.size() - run);
    }
    MSB_RETURN_IF_ERROR(WriteRun(bytes.substr(0, run)));
    bytes.remove_prefix(run);
  }
  return absl::OkStatus();
}

absl::Status BulkWriter::WriteRun(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    // Not on this file system after all, or not from where a short write has left off.
    if (written < 0 && errno == EINVAL && SetDirect(fd_, false)) continue;
    if (written < 0) return FileError("write", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace msb
