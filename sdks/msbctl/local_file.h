// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A file of this machine that is written with what comes from a sandbox.

#ifndef MSB_SDKS_MSBCTL_LOCAL_FILE_H_
#define MSB_SDKS_MSBCTL_LOCAL_FILE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/sparse_writer.h"
#include "base/unique_fd.h"

namespace msb {

class LocalFile {
 public:
  // A new file `name` in `directory`, which has no name before it is whole (or one that begins with
  // ".msb-", where the file system cannot do without). A file or symlink that has the name keeps it
  // until then.
  static absl::StatusOr<std::unique_ptr<LocalFile>> Replace(UniqueFd directory, std::string name);
  // At `path`, which a user names: a device, a FIFO or a descriptor of this process (/dev/stdout)
  // is written to, as cp does it; all else is as with Replace. A symlink, too, for it may be one
  // that came out of a sandbox.
  static absl::StatusOr<std::unique_ptr<LocalFile>> Open(const std::string& path);

  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;
  ~LocalFile();

  absl::Status Write(absl::string_view data);
  // It is whole: what is new gets its mode, its time and its name.
  absl::Status Commit(mode_t mode, const timespec& modified);

 private:
  LocalFile(UniqueFd directory, std::string name, std::string written_as, UniqueFd file);
  absl::Status GiveName();

  const UniqueFd directory_;  // none: written to as it is
  const std::string name_;
  std::string written_as_;  // in `directory_`; empty: no name yet, or its own
  const UniqueFd file_;
  std::optional<SparseWriter> holes_;  // of a new file
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_LOCAL_FILE_H_
