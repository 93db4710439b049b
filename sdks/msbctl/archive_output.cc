// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/archive_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr mode_t kNewMode = 0666;  // what umask leaves of it
constexpr mode_t kModeBits = 07777;

absl::StatusOr<UniqueFd> OpenFor(const std::string& path, int flags) {
  const auto fd =
      Syscall(path, [&] { return ::open(path.c_str(), flags | O_WRONLY | O_CLOEXEC, kNewMode); });
  if (!fd.ok()) return WithReason(Reason::kInvalidArgument, "the archive", fd.status());
  return UniqueFd(*fd);
}

// What a link leads to is replaced, not the link.
std::string FollowLinks(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  return real == nullptr ? path : real.get();
}

}  // namespace

absl::StatusOr<ArchiveOutput> ArchiveOutput::Open(const std::string& path) {
  ArchiveOutput output;
  if (path.empty() || path == "-") {
    MSB_ASSIGN_OR_RETURN(const int fd, Syscall("dup", [] { return ::dup(STDOUT_FILENO); }));
    output.fd_ = UniqueFd(fd);
    return output;
  }
  struct stat info {};
  const bool is_there = ::stat(path.c_str(), &info) == 0;
  if (is_there && !S_ISREG(info.st_mode)) {
    MSB_ASSIGN_OR_RETURN(output.fd_, OpenFor(path, 0));
    return output;
  }
  if (is_there && ::access(path.c_str(), W_OK) != 0) {
    return WithReason(Reason::kInvalidArgument, "the archive", absl::ErrnoToStatus(errno, path));
  }
  output.path_ = FollowLinks(path);
  std::string unfinished = absl::StrCat(output.path_, ".", ::getpid(), ".part");
  MSB_ASSIGN_OR_RETURN(output.fd_, OpenFor(unfinished, O_CREAT | O_EXCL));
  output.unfinished_ = std::move(unfinished);
  // As far as we may: the archive has what the one before it had.
  if (is_there) ::fchmod(output.fd_.get(), info.st_mode & kModeBits);
  return output;
}

ArchiveOutput::~ArchiveOutput() {
  if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
}

absl::Status ArchiveOutput::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t count, Syscall("write the archive", [&] {
                           return ::write(fd_.get(), bytes.data(), bytes.size());
                         }));
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status ArchiveOutput::Finish() {
  if (unfinished_.empty()) return absl::OkStatus();
  const auto renamed =
      Syscall(path_, [this] { return ::rename(unfinished_.c_str(), path_.c_str()); });
  if (!renamed.ok()) return WithReason(Reason::kInvalidArgument, "the archive", renamed.status());
  unfinished_.clear();
  return absl::OkStatus();
}

}  // namespace msb
