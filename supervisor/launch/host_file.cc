// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/host_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr size_t kMaxBytes = 1 << 20;

}  // namespace

absl::StatusOr<UniqueFd> OpenHostFile(const std::string& path, int flags) {
  MSB_ASSIGN_OR_RETURN(const int fd,
                       Syscall(path, [&] { return ::open(path.c_str(), flags | O_CLOEXEC); }));
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> Duplicate(const UniqueFd& file) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("duplicate a descriptor", [&] {
                         return ::fcntl(file.get(), F_DUPFD_CLOEXEC, 0);
                       }));
  return UniqueFd(fd);
}

absl::StatusOr<std::vector<std::string>> ListHostDirectory(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (directory == nullptr) {
    if (errno == ENOENT) return names;
    return absl::ErrnoToStatus(errno, path);
  }
  while (const dirent* entry = ::readdir(directory.get())) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

absl::StatusOr<std::string> ReadHostFile(const std::string& path) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd fd, OpenHostFile(path, O_RDONLY));
  std::string text;
  char block[kBlockBytes];
  while (text.size() < kMaxBytes) {
    MSB_ASSIGN_OR_RETURN(const ssize_t size, Syscall(absl::StrCat("read ", path), [&] {
                           return ::read(fd.get(), block, kBlockBytes);
                         }));
    if (size == 0) break;
    text.append(block, static_cast<size_t>(size));
  }
  return text;
}

absl::Status WriteHostFile(const std::string& path, absl::string_view text) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd fd, OpenHostFile(path, O_WRONLY));
  return Syscall(absl::StrCat("write \"", text, "\" to ", path),
                 [&] { return ::write(fd.get(), text.data(), text.size()); })
      .status();
}

}  // namespace msb
