// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/companion_log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/host_file.h"

namespace msb {
namespace {

constexpr size_t kMaxLineBytes = 256;

}  // namespace

absl::StatusOr<UniqueFd> MakeCompanionLog(uint64_t bytes) {
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall("memfd_create", [] {
                         return ::memfd_create("companion_log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                       }));
  UniqueFd log(raw);
  MSB_RETURN_IF_ERROR(
      Syscall("size a log", [&] { return ::ftruncate(log.get(), static_cast<off_t>(bytes)); }));
  MSB_RETURN_IF_ERROR(Syscall("seal a log", [&] {
    return ::fcntl(log.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
  }));
  return log;
}

absl::StatusOr<UniqueFd> OpenCompanionLog(int pid) {
  MSB_ASSIGN_OR_RETURN(UniqueFd log,
                       OpenHostFile(absl::StrCat("/proc/", pid, "/fd/", STDERR_FILENO),
                                    O_RDONLY | O_NONBLOCK | O_NOCTTY));
  // The process may have put something else there.
  const int seals = ::fcntl(log.get(), F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_GROW) != 0) return log;
  return MakeError(Reason::kHostError, absl::StrCat("process ", pid, " has put its log away"));
}

absl::StatusOr<std::string> ReadCompanionLog(const UniqueFd& log, uint64_t max_bytes) {
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat a log", [&] { return ::fstat(log.get(), &info); }));
  std::string text(std::min(max_bytes, static_cast<uint64_t>(std::max<off_t>(info.st_size, 0))),
                   '\0');
  MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read a log", [&] {
                         return ::pread(log.get(), text.data(), text.size(), 0);
                       }));
  text.resize(static_cast<size_t>(got));
  text.erase(text.find_last_not_of('\0') + 1);  // what has not been written to yet
  return text;
}

absl::Status KeepCompanionLog(absl::string_view text, const std::string& path, uint64_t max_bytes) {
  if (text.empty()) return absl::OkStatus();
  MSB_ASSIGN_OR_RETURN(
      const int raw, Syscall(absl::StrCat("open ", path), [&] {
        return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
      }));
  const UniqueFd file(raw);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat a log", [&] { return ::fstat(file.get(), &info); }));
  if (static_cast<uint64_t>(info.st_size) > max_bytes) {
    MSB_RETURN_IF_ERROR(Syscall("empty a log", [&] { return ::ftruncate(file.get(), 0); }));
  }
  return Syscall(absl::StrCat("write ", path),
                 [&] { return ::write(file.get(), text.data(), text.size()); })
      .status();
}

std::string LastLine(absl::string_view log) {
  log = absl::StripAsciiWhitespace(log);
  const size_t newline = log.rfind('\n');
  if (newline != absl::string_view::npos) log.remove_prefix(newline + 1);
  return EscapeForLog(log.substr(0, kMaxLineBytes));
}

}  // namespace msb
