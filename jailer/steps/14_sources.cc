// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

constexpr uid_t kUnchanged = static_cast<uid_t>(-1);

bool IsDirectory(OpenKind kind) {
  return kind == OpenKind::kDirectoryReadOnly || kind == OpenKind::kDirectoryReadWrite;
}

bool IsReadOnly(OpenKind kind) {
  return kind == OpenKind::kDirectoryReadOnly || kind == OpenKind::kFileReadOnly;
}

absl::StatusOr<UniqueFd> Open(const std::string& path, int flags) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("open ", path), [&] {
                         return ::open(path.c_str(), flags | O_CLOEXEC);
                       }));
  return UniqueFd(fd);
}

// Opens as the jail's user: leaving the effective uid 0 takes the effective capabilities away
// (capabilities(7)), and coming back to it gives them again. A failure in between ends the jailer.
absl::StatusOr<UniqueFd> OpenAsUser(const Plan& plan, const std::string& path, int flags) {
  MSB_RETURN_IF_ERROR(
      Syscall("setgroups", [&] { return ::setgroups(plan.groups.size(), plan.groups.data()); }));
  MSB_RETURN_IF_ERROR(
      Syscall("setresgid", [&] { return ::setresgid(kUnchanged, plan.gid, kUnchanged); }));
  MSB_RETURN_IF_ERROR(
      Syscall("setresuid", [&] { return ::setresuid(kUnchanged, plan.uid, kUnchanged); }));
  absl::StatusOr<UniqueFd> fd = Open(path, flags);
  MSB_RETURN_IF_ERROR(Syscall("setresuid", [] { return ::setresuid(kUnchanged, 0, kUnchanged); }));
  MSB_RETURN_IF_ERROR(Syscall("setresgid", [] { return ::setresgid(kUnchanged, 0, kUnchanged); }));
  MSB_RETURN_IF_ERROR(Syscall("setgroups", [] { return ::setgroups(0, nullptr); }));
  return fd;
}

// A mount of what `source` is and what is mounted below it, attached nowhere: its root is the end
// of every "..".
absl::StatusOr<UniqueFd> MountOf(const UniqueFd& source, const OpenRequest& request) {
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(absl::StrCat("open_tree ", request.path), [&] {
                         return ::open_tree(
                             source.get(), "",
                             AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
                       }));
  UniqueFd tree(raw);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (IsReadOnly(request.kind)) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("mount_setattr ", request.path), [&] {
    return ::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                           sizeof(attributes));
  }));
  return tree;
}

absl::StatusOr<UniqueFd> OpenSource(const Plan& plan, const OpenRequest& request) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd source, OpenAsUser(plan, request.path, O_PATH));
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall(request.path, [&] { return ::fstat(source.get(), &info); }));
  const bool directory = IsDirectory(request.kind);
  if (directory ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode)) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(request.path, " is no ", directory ? "directory" : "file"));
  }
  MSB_ASSIGN_OR_RETURN(UniqueFd tree, MountOf(source, request));
  if (directory) return tree;
  // Once more, for reading or writing: by a name that means this file, not by the path again.
  absl::StatusOr<UniqueFd> file = OpenAsUser(plan, absl::StrCat("/proc/self/fd/", tree.get()),
                                             IsReadOnly(request.kind) ? O_RDONLY : O_RDWR);
  if (file.ok()) return file;
  return absl::Status(file.status().code(),
                      absl::StrCat(request.path, ": ", file.status().message()));
}

}  // namespace

absl::Status OpenSources(const Plan& plan) {
  for (const OpenRequest& request : plan.opens) {
    MSB_ASSIGN_OR_RETURN(const UniqueFd fd, OpenSource(plan, request));
    // Without O_CLOEXEC: it stays.
    MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("descriptor ", request.fd),
                                [&] { return ::dup2(fd.get(), request.fd); }));
  }
  return absl::OkStatus();
}

}  // namespace msb
