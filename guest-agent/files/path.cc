// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/path.h"

#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "guest-agent/files/file_error.h"

namespace msb {
namespace {

absl::Status CheckBytes(absl::string_view path) {
  if (path.size() > kMaxPathBytes) {
    return MakeError(Reason::kPathInvalid,
                     absl::StrCat("a path of ", path.size(), " bytes; at most ", kMaxPathBytes));
  }
  if (path.find('\0') != absl::string_view::npos) {
    return MakeError(Reason::kPathInvalid, "a path with NUL in it");
  }
  return absl::OkStatus();
}

bool IsDirectory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

absl::Status CheckPath(absl::string_view path) {
  if (path.empty() || path[0] != '/') {
    return MakeError(Reason::kPathInvalid, absl::StrCat("\"", path, "\" is no absolute path"));
  }
  return CheckBytes(path);
}

absl::Status CheckRelativePath(absl::string_view path) {
  if (absl::Status status = CheckBytes(path); !status.ok()) return status;
  for (const absl::string_view name : absl::StrSplit(path, '/')) {
    if (name.empty() || name == "." || name == "..") {
      return MakeError(Reason::kPathInvalid,
                       absl::StrCat("\"", path, "\" is no plain path below a directory"));
    }
  }
  return absl::OkStatus();
}

SplitPath Split(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const absl::string_view directory = path.substr(0, slash == 0 ? 1 : slash);
  return {.directory = std::string(directory), .name = std::string(path.substr(slash + 1))};
}

std::string Join(absl::string_view directory, absl::string_view name) {
  if (directory == "/") return absl::StrCat("/", name);
  return absl::StrCat(directory, "/", name);
}

absl::Status MakeDirectories(absl::string_view path, uint32_t mode, LastComponent last) {
  const std::string target =
      last == LastComponent::kMake ? std::string(path) : Split(path).directory;
  if (IsDirectory(target)) return absl::OkStatus();
  for (size_t slash = target.find('/', 1);; slash = target.find('/', slash + 1)) {
    const std::string prefix = target.substr(0, slash);
    if (::mkdir(prefix.c_str(), mode) != 0) {
      const int error = errno;
      // Something of the name exists: only a directory will do, whatever mkdir says of it.
      if (!IsDirectory(prefix)) {
        return FileError("make directory", prefix, error == EEXIST ? ENOTDIR : error);
      }
    }
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

}  // namespace msb
