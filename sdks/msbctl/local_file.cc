// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/local_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/temporary_name.h"

namespace msb {
namespace {

// In `directory`, to become `name`. Where its file system has no files without a name, `written_as`
// is the one that it has until then.
absl::StatusOr<UniqueFd> CreateUnnamed(int directory, const std::string& name,
                                       std::string& written_as) {
  UniqueFd unnamed(::openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (unnamed.valid()) return unnamed;
  const bool needs_name = errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT;
  if (!needs_name) return absl::ErrnoToStatus(errno, absl::StrCat("create ", name));
  written_as = TemporaryName();
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("create ", name), [&] {
                         return ::openat(directory, written_as.c_str(),
                                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                         0600);
                       }));
  return UniqueFd(fd);
}

// Of this process, by a name that the system has for it: a symlink that means no file.
std::optional<int> OwnDescriptor(absl::string_view path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  int number = -1;
  const bool is_number =
      absl::ConsumePrefix(&path, "/dev/fd/") || absl::ConsumePrefix(&path, "/proc/self/fd/");
  if (!is_number || !absl::SimpleAtoi(path, &number) || number < 0) return std::nullopt;
  return number;
}

bool IsDeviceOrFifo(mode_t mode) { return S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode); }

absl::StatusOr<UniqueFd> OpenDevice(const std::string& path) {
  // Whether anybody reads a FIFO is not waited for.
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(absl::StrCat("open ", path), [&] {
                         return ::open(path.c_str(),
                                       O_WRONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
                       }));
  UniqueFd fd(raw);
  struct stat info {};
  if (::fstat(raw, &info) != 0 || !IsDeviceOrFifo(info.st_mode)) {
    return absl::UnavailableError(absl::StrCat(path, " has become another file meanwhile"));
  }
  const int flags = ::fcntl(raw, F_GETFL);
  ::fcntl(raw, F_SETFL, flags & ~O_NONBLOCK);
  return fd;
}

}  // namespace

LocalFile::LocalFile(UniqueFd directory, std::string name, std::string written_as, UniqueFd file)
    : directory_(std::move(directory)),
      name_(std::move(name)),
      written_as_(std::move(written_as)),
      file_(std::move(file)) {
  if (directory_.valid()) holes_.emplace(file_.get());
}

LocalFile::~LocalFile() {
  if (!written_as_.empty()) ::unlinkat(directory_.get(), written_as_.c_str(), 0);
}

absl::StatusOr<std::unique_ptr<LocalFile>> LocalFile::Replace(UniqueFd directory,
                                                              std::string name) {
  struct stat info {};
  const bool known = ::fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (known && S_ISDIR(info.st_mode)) {
    return absl::ErrnoToStatus(EISDIR, absl::StrCat("replace ", name));
  }
  std::string written_as;
  MSB_ASSIGN_OR_RETURN(UniqueFd file, CreateUnnamed(directory.get(), name, written_as));
  return std::unique_ptr<LocalFile>(
      new LocalFile(std::move(directory), std::move(name), std::move(written_as), std::move(file)));
}

absl::StatusOr<std::unique_ptr<LocalFile>> LocalFile::Open(const std::string& path) {
  if (const std::optional<int> number = OwnDescriptor(path)) {
    MSB_ASSIGN_OR_RETURN(const int copy, Syscall(absl::StrCat("open ", path), [&] {
                           return ::fcntl(*number, F_DUPFD_CLOEXEC, 3);
                         }));
    return std::unique_ptr<LocalFile>(new LocalFile(UniqueFd(), path, "", UniqueFd(copy)));
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && IsDeviceOrFifo(info.st_mode)) {
    MSB_ASSIGN_OR_RETURN(UniqueFd file, OpenDevice(path));
    return std::unique_ptr<LocalFile>(new LocalFile(UniqueFd(), path, "", std::move(file)));
  }
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  MSB_ASSIGN_OR_RETURN(const int directory, Syscall(absl::StrCat("open ", parent), [&] {
                         return ::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
                       }));
  return Replace(UniqueFd(directory), path.substr(slash + 1));
}

absl::Status LocalFile::Write(absl::string_view data) {
  if (holes_) {
    if (!holes_->Write(data)) return absl::ErrnoToStatus(errno, absl::StrCat("write ", name_));
    return absl::OkStatus();
  }
  while (!data.empty()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t written, Syscall(absl::StrCat("write ", name_), [&] {
                           return ::write(file_.get(), data.data(), data.size());
                         }));
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status LocalFile::Commit(mode_t mode, const timespec& modified) {
  if (!holes_) return absl::OkStatus();
  if (!holes_->End()) return absl::ErrnoToStatus(errno, absl::StrCat("write ", name_));
  // A file system without modes or times is no reason to fail.
  ::fchmod(file_.get(), mode);
  const timespec times[] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, modified};
  ::futimens(file_.get(), times);
  return GiveName();
}

absl::Status LocalFile::GiveName() {
  if (written_as_.empty()) {
    const std::string file = absl::StrCat("/proc/self/fd/", file_.get());
    const auto link = [&](const std::string& name) {
      return ::linkat(AT_FDCWD, file.c_str(), directory_.get(), name.c_str(), AT_SYMLINK_FOLLOW);
    };
    if (link(name_) == 0) return absl::OkStatus();
    if (errno != EEXIST) return absl::ErrnoToStatus(errno, absl::StrCat("create ", name_));
    std::string other = TemporaryName();
    if (link(other) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("create ", name_));
    written_as_ = std::move(other);
  }
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("replace ", name_), [&] {
                        return ::renameat(directory_.get(), written_as_.c_str(), directory_.get(),
                                          name_.c_str());
                      }).status());
  written_as_.clear();
  return absl::OkStatus();
}

}  // namespace msb
