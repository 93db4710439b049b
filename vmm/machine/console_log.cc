// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/console_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr size_t kCopyBytes = 16 * 1024;

}  // namespace

absl::StatusOr<ConsoleLog> ConsoleLog::Create(UniqueFd file, uint64_t limit_bytes) {
  MSB_CHECK(limit_bytes >= kMinLimitBytes && limit_bytes <= kMaxLimitBytes);
  struct stat status;
  const auto got = Syscall("fstat", [&] { return ::fstat(file.get(), &status); });
  if (!got.ok()) return WithReason(Reason::kHostError, "console log", got.status());
  if (!S_ISREG(status.st_mode)) {
    return MakeError(Reason::kVmSpecInvalid, "console.fd: no regular file");
  }
  return ConsoleLog(std::move(file), limit_bytes / 2 * 2, static_cast<uint64_t>(status.st_size));
}

absl::Status ConsoleLog::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    if (size_ >= limit_bytes_) MSB_RETURN_IF_ERROR(Rewind());
    const absl::string_view piece = bytes.substr(0, limit_bytes_ - size_);
    MSB_RETURN_IF_ERROR(Write(piece, size_));
    size_ += piece.size();
    total_bytes_ += piece.size();
    bytes.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

absl::Status ConsoleLog::Write(absl::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const auto written = Syscall("pwrite", [&] {
      return ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    });
    if (!written.ok()) return WithReason(Reason::kHostError, "console log", written.status());
    bytes.remove_prefix(static_cast<size_t>(*written));
    offset += static_cast<uint64_t>(*written);
  }
  return absl::OkStatus();
}

absl::Status ConsoleLog::Rewind() {
  const uint64_t half = limit_bytes_ / 2;
  const uint64_t start = size_ - half;
  std::vector<char> buffer(std::min<uint64_t>(kCopyBytes, half));
  for (uint64_t done = 0; done < half;) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), half - done);
    const auto got = Syscall("pread", [&] {
      return ::pread(file_.get(), buffer.data(), wanted, static_cast<off_t>(start + done));
    });
    if (!got.ok()) return WithReason(Reason::kHostError, "console log", got.status());
    if (*got == 0) break;  // somebody has cut the file: what is left of it is a hole of zeros
    MSB_RETURN_IF_ERROR(Write({buffer.data(), static_cast<size_t>(*got)}, done));
    done += static_cast<uint64_t>(*got);
  }
  const auto cut =
      Syscall("ftruncate", [&] { return ::ftruncate(file_.get(), static_cast<off_t>(half)); });
  if (!cut.ok()) return WithReason(Reason::kHostError, "console log", cut.status());
  size_ = half;
  return absl::OkStatus();
}

}  // namespace msb
