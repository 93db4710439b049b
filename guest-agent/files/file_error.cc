// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/file_error.h"

#include "absl/strings/str_cat.h"
#include "guest-agent/errno_status.h"

namespace msb {

Reason FileReason(int error) {
  switch (error) {
    case ENOENT:
      return Reason::kFileNotFound;
    case EEXIST:
      return Reason::kFileExists;
    case EACCES:
    case EPERM:
      return Reason::kFilePermissionDenied;
    case ENOTDIR:
      return Reason::kNotADirectory;
    case EISDIR:
      return Reason::kIsADirectory;
    case ENOTEMPTY:
      return Reason::kDirectoryNotEmpty;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Reason::kNoSpace;
    case EROFS:
      return Reason::kReadOnlyFileSystem;
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV:   // openat2: the path leaves its top
    case EINVAL:  // a directory into itself, a name the file system does not take
      return Reason::kPathInvalid;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Reason::kLimitExceeded;
    default:
      return Reason::kFileError;
  }
}

absl::Status FileError(absl::string_view what, absl::string_view path, int error) {
  return ErrnoError(FileReason(error), absl::StrCat(what, " ", path), error);
}

}  // namespace msb
