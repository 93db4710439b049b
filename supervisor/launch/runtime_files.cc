// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/runtime_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"

namespace msb {
namespace {

enum class Append { kNo, kYes };

absl::StatusOr<UniqueFd> MakeLog(const std::string& path, Append append) {
  const int flags =
      O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | (append == Append::kYes ? O_APPEND : 0);
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("create ", path),
                                             [&] { return ::open(path.c_str(), flags, 0600); }));
  return UniqueFd(fd);
}

absl::Status Unlink(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();
  return WithReason(Reason::kHostError, "remove", absl::ErrnoToStatus(errno, path));
}

absl::Status RemoveWhenEmpty(const std::string& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT || errno == ENOTEMPTY) {
    return absl::OkStatus();
  }
  return WithReason(Reason::kHostError, "remove", absl::ErrnoToStatus(errno, directory));
}

// Those of the VMM and of companions, whatever their names; then the directory, when it is empty.
absl::Status RemoveByEnding(const std::string& directory, absl::string_view ending) {
  std::error_code error;
  std::vector<std::string> paths;
  for (std::filesystem::directory_iterator entry(directory, error), end; entry != end;
       entry.increment(error)) {
    if (absl::EndsWith(entry->path().string(), ending)) paths.push_back(entry->path().string());
  }
  for (const std::string& path : paths) MSB_RETURN_IF_ERROR(Unlink(path));
  return RemoveWhenEmpty(directory);
}

absl::StatusOr<RuntimeFiles> MakeAll(const LaunchPlan& plan) {
  MSB_RETURN_IF_ERROR(MakePrivateDirectory(plan.runtime_directory));
  RuntimeFiles files;
  MSB_ASSIGN_OR_RETURN(files.control_listener, ListenUnix(plan.control_socket));
  MSB_ASSIGN_OR_RETURN(files.vsock_listener, ListenUnix(plan.vsock_socket));
  MSB_ASSIGN_OR_RETURN(files.link_listener, ListenUnix(plan.link_socket));
  // The VMM itself starts the console's file again at its limit.
  MSB_ASSIGN_OR_RETURN(files.console_log, MakeLog(plan.console_log, Append::kNo));
  MSB_ASSIGN_OR_RETURN(files.vmm_log, MakeLog(plan.vmm_log, Append::kYes));
  MSB_ASSIGN_OR_RETURN(files.exit_event, MakeLog(plan.exit_event, Append::kNo));
  return files;
}

}  // namespace

absl::Status MakePrivateDirectory(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return absl::ErrnoToStatus(errno, absl::StrCat("mkdir ", parent));
    }
  }
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("mkdir ", path));
}

absl::StatusOr<RuntimeFiles> MakeRuntimeFiles(const LaunchPlan& plan) {
  absl::StatusOr<RuntimeFiles> files = MakeAll(plan);
  if (files.ok()) return files;
  return WithReason(Reason::kHostError, "the runtime directory", files.status());
}

absl::Status RemoveRuntimeFiles(const LaunchPlan& plan) {
  MSB_RETURN_IF_ERROR(Unlink(plan.exit_event));
  MSB_RETURN_IF_ERROR(RemoveByEnding(plan.runtime_directory, ".pipe"));
  return RemoveByEnding(plan.runtime_directory, ".sock");
}

absl::Status RemoveLogFiles(const LaunchPlan& plan) {
  return RemoveByEnding(plan.runtime_directory, ".log");
}

}  // namespace msb
