// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// ReadFile.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/files/bulk_reader.h"
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
  const bool is_regular = S_ISREG(status.st_mode);
  // Files of proc say that they have no bytes, or 4096, and have more.
  const uint64_t hint =
      is_regular && status.st_size > 0 ? static_cast<uint64_t>(status.st_size) + 1 : kMaxDataBytes;
  agent::v1::Done done;
  BulkReader reader(file.get(), request.path(), std::min(hint, left));
  while (left > 0) {
    MSB_ASSIGN_OR_RETURN(const absl::string_view data,
                         reader.Next(std::min<uint64_t>(left, kMaxDataBytes)));
    if (data.empty()) break;
    MSB_RETURN_IF_ERROR(channel.SendData(data));
    left -= data.size();
    done.set_bytes(done.bytes() + data.size());
  }
  return done;
}

}  // namespace msb
