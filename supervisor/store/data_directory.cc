// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/store/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr unsigned kParentMode = 0755;
constexpr unsigned kPrivateMode = 0700;

absl::Status HostError(absl::string_view what, const std::error_code& error) {
  return MakeError(Reason::kHostError, absl::StrCat(what, ": ", error.message()));
}

}  // namespace

absl::Status MakeParentDirectories(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), kParentMode) != 0 && errno != EEXIST) {
      return WithReason(Reason::kHostError, "cannot make a directory",
                        absl::ErrnoToStatus(errno, parent));
    }
  }
  return absl::OkStatus();
}

absl::Status EnsureDirectory(const std::string& path, unsigned mode) {
  MSB_RETURN_IF_ERROR(MakeParentDirectories(path));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return WithReason(Reason::kHostError, "cannot make a directory",
                      absl::ErrnoToStatus(errno, path));
  }
  auto opened = Syscall(absl::StrCat("open ", path), [&] {
    return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  });
  if (!opened.ok()) return WithReason(Reason::kHostError, "directory", opened.status());
  const UniqueFd fd(*opened);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(fd.get(), &info); }));
  if (info.st_uid != ::geteuid()) {
    return MakeError(
        Reason::kHostError,
        absl::StrCat(path, " belongs to uid ", info.st_uid, ", not to the daemon's uid ",
                     ::geteuid(), "; set another directory in the configuration"));
  }
  if ((info.st_mode & 07777) == mode) return absl::OkStatus();
  return status_internal::ToStatus(
      Syscall(absl::StrCat("chmod ", path), [&] { return ::fchmod(fd.get(), mode); }));
}

absl::StatusOr<DataDirectory> DataDirectory::Open(const std::string& path) {
  MSB_RETURN_IF_ERROR(EnsureDirectory(path, kPrivateMode));
  MSB_RETURN_IF_ERROR(EnsureDirectory(path + "/sandboxes", kPrivateMode));
  MSB_RETURN_IF_ERROR(EnsureDirectory(path + "/volumes", kPrivateMode));
  const std::string lock_path = path + "/msbd.lock";
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("open ", lock_path), [&] {
                         return ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                       }));
  UniqueFd lock(fd);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return absl::ErrnoToStatus(errno, "flock");
    char owner[16] = {};
    [[maybe_unused]] const ssize_t got = ::pread(lock.get(), owner, sizeof(owner) - 1, 0);
    return MakeError(Reason::kConfigInvalid,
                     absl::StrCat("another msbd (pid ", owner, ") uses the data directory ", path,
                                  "; stop it, or set daemon.data_directory"));
  }
  const std::string pid = absl::StrCat(::getpid());
  MSB_RETURN_IF_ERROR(Syscall("ftruncate", [&] { return ::ftruncate(lock.get(), 0); }));
  MSB_RETURN_IF_ERROR(
      Syscall("pwrite", [&] { return ::pwrite(lock.get(), pid.data(), pid.size(), 0); }));
  return DataDirectory(path, std::move(lock));
}

std::string DataDirectory::OfSandbox(absl::string_view id) const {
  return absl::StrCat(path_, "/sandboxes/", id);
}

std::string DataDirectory::DiskOf(absl::string_view id) const {
  return absl::StrCat(OfSandbox(id), "/disk.ext4");
}

std::string DataDirectory::OfVolume(absl::string_view name) const {
  return absl::StrCat(path_, "/volumes/", name);
}

std::string DataDirectory::DiskOfVolume(absl::string_view name) const {
  return absl::StrCat(OfVolume(name), "/disk.ext4");
}

std::string DataDirectory::FilesOfVolume(absl::string_view name) const {
  return absl::StrCat(OfVolume(name), "/files");
}

absl::StatusOr<std::vector<std::string>> DataDirectory::ListSandboxes() const {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator it(sandboxes(), error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return HostError(absl::StrCat("cannot list ", sandboxes()), error);
  return names;
}

}  // namespace msb
