// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// ReadFile.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"

namespace msb {

absl::StatusOr<agent::v1::Done> RunReadFile(const agent::v1::ReadFile& request,
                                            FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  // Non-blocking, so that a FIFO without a writer is empty rather than endless.
  const UniqueFd file(::open(request.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.valid()) return FileError("open", request.path());
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return FileError("stat", request.path());
  if (S_ISDIR(status.st_mode)) return FileError("read", request.path(), EISDIR);
  if (request.offset() > INT64_MAX) return FileError("seek in", request.path(), EINVAL);
  if (request.offset() > 0 &&
      ::lseek(file.get(), static_cast<off_t>(request.offset()), SEEK_SET) < 0) {
    return FileError("seek in", request.path());
  }
  uint64_t left = request.length() == 0 ? UINT64_MAX : request.length();
  // A small file needs no large buffer, whose pages would all be touched; its size is a hint only.
  const uint64_t hint = S_ISREG(status.st_mode) && status.st_size > 0
                            ? static_cast<uint64_t>(status.st_size) + 1
                            : kMaxDataBytes;
  const size_t capacity = std::max<size_t>(4096, std::min<uint64_t>({hint, left, kMaxDataBytes}));
  const std::unique_ptr<char[]> buffer(new char[capacity]);
  agent::v1::Done done;
  while (left > 0) {
    const ssize_t got = ::read(file.get(), buffer.get(), std::min<uint64_t>(capacity, left));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) return FileError("read", request.path());
    if (got <= 0) break;
    MSB_RETURN_IF_ERROR(channel.SendData({buffer.get(), static_cast<size_t>(got)}));
    left -= static_cast<uint64_t>(got);
    done.set_bytes(done.bytes() + static_cast<uint64_t>(got));
  }
  return done;
}

}  // namespace msb
