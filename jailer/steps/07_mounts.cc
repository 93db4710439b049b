// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

constexpr uint64_t kTmpfsInodes = 1024;
// Nothing but the jail's own processes: no host CPU, memory or kernel details.
constexpr const char* kProcOptions = "subset=pid";

absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0555) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("mkdir ", path));
}

// Makes the folders of `target` below `root`, all but the last of its parts.
absl::Status MakeParents(const std::string& root, absl::string_view target) {
  std::string folder = root;
  const size_t last = target.rfind('/');
  for (absl::string_view part : absl::StrSplit(target.substr(0, last), '/', absl::SkipEmpty())) {
    absl::StrAppend(&folder, "/", part);
    MSB_RETURN_IF_ERROR(MakeFolder(folder));
  }
  return absl::OkStatus();
}

absl::Status MakeFile(const std::string& path) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("create ", path), [&] {
                         return ::open(path.c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0444);
                       }));
  UniqueFd closing(fd);
  return absl::OkStatus();
}

absl::Status Mount(const std::string& what, const std::string& where, const char* type,
                   unsigned long flags, const std::string& options) {
  return Syscall(absl::StrCat("mount ", what, " on ", where),
                 [&] {
                   return ::mount(what.c_str(), where.c_str(), type, flags,
                                  options.empty() ? nullptr : options.c_str());
                 })
      .status();
}

absl::Status Bind(const Plan& plan, const BindMount& bind, unsigned long flags) {
  struct stat source {};
  MSB_RETURN_IF_ERROR(Syscall(bind.source, [&] { return ::stat(bind.source.c_str(), &source); }));
  const std::string target = plan.root + bind.target;
  MSB_RETURN_IF_ERROR(MakeParents(plan.root, bind.target));
  MSB_RETURN_IF_ERROR(S_ISDIR(source.st_mode) ? MakeFolder(target) : MakeFile(target));
  MSB_RETURN_IF_ERROR(Mount(bind.source, target, nullptr, MS_BIND, ""));
  // A bind mount takes its flags from its source; only a remount gives it its own.
  return Mount(bind.source, target, nullptr, MS_REMOUNT | MS_BIND | flags, "");
}

absl::Status MountTmpfs(const Plan& plan, const TmpfsMount& tmpfs) {
  const std::string target = plan.root + tmpfs.target;
  MSB_RETURN_IF_ERROR(MakeParents(plan.root, tmpfs.target));
  MSB_RETURN_IF_ERROR(MakeFolder(target));
  return Mount("jail", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
               absl::StrCat("size=", tmpfs.bytes, ",nr_inodes=", kTmpfsInodes,
                            ",mode=0700,uid=", plan.uid, ",gid=", plan.gid));
}

absl::Status MountProc(const Plan& plan) {
  const std::string target = plan.root + "/proc";
  MSB_RETURN_IF_ERROR(MakeFolder(target));
  return Mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, kProcOptions);
}

}  // namespace

absl::Status MountContents(const Plan& plan) {
  for (const BindMount& bind : plan.binds) {
    MSB_RETURN_IF_ERROR(Bind(plan, bind, MS_RDONLY | MS_NOSUID | MS_NODEV));
  }
  for (const TmpfsMount& tmpfs : plan.tmpfs) MSB_RETURN_IF_ERROR(MountTmpfs(plan, tmpfs));
  if (plan.proc) MSB_RETURN_IF_ERROR(MountProc(plan));
  for (const std::string& device : plan.devices) {
    // Read-only is the node: what is written to the device is no write to its file system.
    const std::string path = absl::StrCat("/dev/", device);
    MSB_RETURN_IF_ERROR(Bind(plan, {path, path}, MS_RDONLY | MS_NOSUID | MS_NOEXEC));
  }
  return absl::OkStatus();
}

}  // namespace msb
