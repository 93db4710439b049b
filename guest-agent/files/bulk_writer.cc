// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/bulk_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "base/check.h"
#include "base/status_macros.h"
#include "guest-agent/files/file_error.h"

namespace msb {
namespace {

// A multiple of every logical block size: O_DIRECT wants memory, offset and size aligned.
constexpr std::align_val_t kAlignment{4096};

}  // namespace

void BulkWriter::Free::operator()(char* buffer) const { ::operator delete(buffer, kAlignment); }

BulkWriter::Buffer BulkWriter::NewBuffer() {
  return Buffer(static_cast<char*>(::operator new(kPieceBytes, kAlignment)));
}

BulkWriter::BulkWriter(int fd, std::string path)
    : fd_(fd), path_(std::move(path)), filling_(NewBuffer()) {}

BulkWriter::~BulkWriter() { End(); }

absl::Status BulkWriter::Add(size_t size) {
  MSB_CHECK(size <= kPieceBytes - held_);
  held_ += size;
  if (held_ < kPieceBytes) return absl::OkStatus();
  if (added_ >= kCachedBytes && !thread_ && may_be_direct_) may_be_direct_ = Begin();
  if (thread_) {
    MSB_RETURN_IF_ERROR(HandOver());
  } else {
    MSB_RETURN_IF_ERROR(Write(filling_.get(), held_));
  }
  added_ += held_;
  held_ = 0;
  return absl::OkStatus();
}

absl::Status BulkWriter::Finish() {
  End();
  absl::MutexLock lock(&mutex_);
  MSB_RETURN_IF_ERROR(failure_);
  SetDirect(false);  // for a piece that is no whole one
  return Write(filling_.get(), held_);
}

bool BulkWriter::Begin() {
  if (!SetDirect(true)) return false;
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, &BulkWriter::ThreadMain, this) != 0) {
    SetDirect(false);
    return false;
  }
  thread_ = thread;
  absl::MutexLock lock(&mutex_);
  writing_ = NewBuffer();
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
  std::swap(filling_, writing_);
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
    const absl::Status written = Write(piece, kPieceBytes);
    absl::MutexLock lock(&mutex_);
    failure_.Update(written);
    piece_waits_ = false;
  }
}

absl::Status BulkWriter::Write(const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd_, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    // Not on this file system after all, or not from where a short write has left off.
    if (written < 0 && errno == EINVAL && SetDirect(false)) continue;
    if (written < 0) return FileError("write", path_);
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

// False when nothing has changed: the file system cannot, or it is so already.
bool BulkWriter::SetDirect(bool direct) {
  const int flags = ::fcntl(fd_, F_GETFL);
  if (flags < 0 || ((flags & O_DIRECT) != 0) == direct) return false;
  return ::fcntl(fd_, F_SETFL, flags ^ O_DIRECT) == 0;
}

}  // namespace msb
