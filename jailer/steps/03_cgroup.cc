// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "jailer/steps/steps.h"

// The kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst. Why not through libcgroup:
// docs/adr/0003-cgroups-by-plain-files.md.

namespace msb {
namespace {

constexpr uint64_t kCpuPeriodUs = 100'000;  // the kernel's default
// A file of a cgroup has one line; cgroup.procs of a fresh one has none.
constexpr size_t kReadBytes = 4096;

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags) {
  MSB_ASSIGN_OR_RETURN(const int fd,
                       Syscall(path, [&] { return ::open(path.c_str(), flags | O_CLOEXEC); }));
  return UniqueFd(fd);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text(kReadBytes, '\0');
  MSB_ASSIGN_OR_RETURN(const ssize_t size,
                       Syscall(path, [&] { return ::read(fd.get(), text.data(), text.size()); }));
  text.resize(static_cast<size_t>(size));
  return text;
}

absl::Status WriteFile(const std::string& path, absl::string_view text) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_WRONLY));
  return Syscall(absl::StrCat("write \"", text, "\" to ", path),
                 [&] { return ::write(fd.get(), text.data(), text.size()); })
      .status();
}

// For what a kernel may have been built or booted without.
absl::Status WriteFileIfThere(const std::string& path, absl::string_view text) {
  if (::access(path.c_str(), F_OK) != 0) return absl::OkStatus();
  return WriteFile(path, text);
}

absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("mkdir ", path));
}

// Lets the children of the v2 cgroup `folder` have `controllers`. Read first, since a write takes
// the kernel's cgroup lock even when there is nothing to change.
absl::Status DelegateControllers(const std::string& folder,
                                 const std::vector<std::string>& controllers) {
  const std::string file = absl::StrCat(folder, "/cgroup.subtree_control");
  MSB_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const std::vector<absl::string_view> present =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  std::vector<std::string> missing;
  for (const std::string& controller : controllers) {
    if (std::find(present.begin(), present.end(), controller) != present.end()) continue;
    missing.push_back(absl::StrCat("+", controller));
  }
  return missing.empty() ? absl::OkStatus() : WriteFile(file, absl::StrJoin(missing, " "));
}

// Makes the folders from the mount down to the cgroup itself, and returns the last.
absl::StatusOr<std::string> MakeFolders(const CgroupHierarchy& hierarchy,
                                        const std::string& cgroup) {
  std::string folder = hierarchy.mount;
  for (absl::string_view part : absl::StrSplit(cgroup, '/')) {
    if (hierarchy.version == CgroupVersion::kV2 && !hierarchy.controllers.empty()) {
      MSB_RETURN_IF_ERROR(DelegateControllers(folder, hierarchy.controllers));
    }
    absl::StrAppend(&folder, "/", part);
    MSB_RETURN_IF_ERROR(MakeFolder(folder));
  }
  return folder;
}

// What is left of another sandbox would share our limits, and die with us.
absl::Status CheckEmpty(const std::string& folder) {
  MSB_ASSIGN_OR_RETURN(const std::string processes,
                       ReadFile(absl::StrCat(folder, "/cgroup.procs")));
  if (processes.empty()) return absl::OkStatus();
  return MakeError(Reason::kHostError, absl::StrCat(folder, " has processes already"));
}

absl::Status LimitV1(absl::string_view controller, const std::string& folder, const Plan& plan) {
  if (controller == "memory" && plan.memory_max) {
    const std::string bytes = absl::StrCat(*plan.memory_max);
    MSB_RETURN_IF_ERROR(WriteFile(folder + "/memory.limit_in_bytes", bytes));
    // Memory and swap together: no swap. Absent when the kernel does not account for swap.
    MSB_RETURN_IF_ERROR(WriteFileIfThere(folder + "/memory.memsw.limit_in_bytes", bytes));
    return WriteFileIfThere(folder + "/memory.swappiness", "0");
  }
  if (controller == "cpu" && plan.cpu_milli) {
    MSB_RETURN_IF_ERROR(WriteFile(folder + "/cpu.cfs_period_us", absl::StrCat(kCpuPeriodUs)));
    return WriteFile(folder + "/cpu.cfs_quota_us",
                     absl::StrCat(*plan.cpu_milli * kCpuPeriodUs / 1000));
  }
  if (controller == "pids" && plan.pids_max) {
    return WriteFile(folder + "/pids.max", absl::StrCat(*plan.pids_max));
  }
  return absl::OkStatus();
}

absl::Status LimitV2(absl::string_view controller, const std::string& folder, const Plan& plan) {
  if (controller == "memory" && plan.memory_max) {
    MSB_RETURN_IF_ERROR(WriteFile(folder + "/memory.max", absl::StrCat(*plan.memory_max)));
    MSB_RETURN_IF_ERROR(WriteFileIfThere(folder + "/memory.swap.max", "0"));
    // A VMM that has lost one of its processes is of no use.
    return WriteFileIfThere(folder + "/memory.oom.group", "1");
  }
  if (controller == "cpu" && plan.cpu_milli) {
    return WriteFile(folder + "/cpu.max",
                     absl::StrCat(*plan.cpu_milli * kCpuPeriodUs / 1000, " ", kCpuPeriodUs));
  }
  if (controller == "pids" && plan.pids_max) {
    return WriteFile(folder + "/pids.max", absl::StrCat(*plan.pids_max));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeCgroup(const Plan& plan) {
  for (const CgroupHierarchy& hierarchy : plan.hierarchies) {
    MSB_ASSIGN_OR_RETURN(const std::string folder, MakeFolders(hierarchy, plan.cgroup));
    MSB_RETURN_IF_ERROR(CheckEmpty(folder));
    const bool v1 = hierarchy.version == CgroupVersion::kV1;
    for (const std::string& controller : hierarchy.controllers) {
      MSB_RETURN_IF_ERROR(v1 ? LimitV1(controller, folder, plan)
                             : LimitV2(controller, folder, plan));
    }
    // "0" in `tasks` moves the calling thread, our only one. Unlike a pid in cgroup.procs, it takes
    // no lock on all threads of the host, which waits for an RCU grace period: 10 ms and more on an
    // idle machine. v2 has no such door: there the jailed process is cloned into its cgroup (step
    // 4).
    if (v1) MSB_RETURN_IF_ERROR(WriteFile(folder + "/tasks", "0"));
  }
  return absl::OkStatus();
}

}  // namespace msb
