// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The folders of one daemon, and the lock that keeps a second one out.

#ifndef MSB_SUPERVISOR_STORE_DATA_DIRECTORY_H_
#define MSB_SUPERVISOR_STORE_DATA_DIRECTORY_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

// Makes `path` with its missing parents (those with mode 0755) and gives it `mode`, unless another
// user owns it, which is an error.
absl::Status EnsureDirectory(const std::string& path, unsigned mode);

// The folders above `path`, where they are missing, with mode 0755.
absl::Status MakeParentDirectories(const std::string& path);

// Deletes a folder with everything below, however deep; it is no error when there is none. Nobody
// else may change it meanwhile. Blocks.
absl::Status RemoveTree(const std::string& path);

// data_directory/: msbd.lock, state.db, sandboxes/<id>/disk.ext4, volumes/<name>/disk.ext4 or
// volumes/<name>/files/, which is its owner's, images/ (supervisor/images), boot-snapshots/
// (supervisor/sandbox/boot_snapshots.h). Readable by the daemon's user alone.
class DataDirectory {
 public:
  // kConfigInvalid when another daemon has the lock.
  static absl::StatusOr<DataDirectory> Open(const std::string& path);

  std::string database() const { return path_ + "/state.db"; }
  std::string images() const { return path_ + "/images"; }
  std::string boot_snapshots() const { return path_ + "/boot-snapshots"; }
  std::string sandboxes() const { return path_ + "/sandboxes"; }
  std::string OfSandbox(absl::string_view id) const;
  std::string DiskOf(absl::string_view id) const;
  // A volume's name is fit for a file's.
  std::string OfVolume(absl::string_view name) const;
  std::string DiskOfVolume(absl::string_view name) const;
  std::string FilesOfVolume(absl::string_view name) const;
  // Names of the folders in sandboxes().
  absl::StatusOr<std::vector<std::string>> ListSandboxes() const;

 private:
  DataDirectory(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  UniqueFd lock_;  // held until the process ends
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_DATA_DIRECTORY_H_
