// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/served_file_systems.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

constexpr uid_t kUnchanged = static_cast<uid_t>(-1);

bool IsReadOnly(OpenKind kind) {
  return kind == OpenKind::kDirectoryReadOnly || kind == OpenKind::kFileReadOnly ||
         kind == OpenKind::kAnyReadOnly;
}

absl::Status CheckKind(OpenKind kind, mode_t mode) {
  const auto wrong = [](absl::string_view what) {
    return MakeError(Reason::kInvalidArgument, what);
  };
  const bool any = kind == OpenKind::kAnyReadOnly || kind == OpenKind::kAnyReadWrite;
  const bool file = kind == OpenKind::kFileReadOnly || kind == OpenKind::kFileReadWrite;
  if (any && !S_ISDIR(mode) && !S_ISREG(mode)) {
    return wrong("it is neither a directory nor a regular file");
  }
  if (!any && file && !S_ISREG(mode)) return wrong("it is no regular file");
  if (!any && !file && !S_ISDIR(mode)) return wrong("it is no directory");
  return absl::OkStatus();
}

// Links of /proc are no names but doors: /proc/self/cwd would be the jailer's own.
enum class ProcLinks { kRefuse, kFollow };

struct OpenCall {
  std::string path;
  int flags = 0;
  ProcLinks proc_links = ProcLinks::kRefuse;
};

absl::StatusOr<UniqueFd> Open(const OpenCall& call) {
  open_how how{};
  how.flags = static_cast<uint64_t>(call.flags | O_CLOEXEC);
  how.resolve = call.proc_links == ProcLinks::kRefuse ? RESOLVE_NO_MAGICLINKS : 0;
  const absl::StatusOr<long> fd = Syscall(
      "", [&] { return ::syscall(SYS_openat2, AT_FDCWD, call.path.c_str(), &how, sizeof(how)); });
  if (fd.ok()) return UniqueFd(static_cast<int>(*fd));
  // "No such file or directory", for people.
  return absl::Status(fd.status().code(), absl::StripPrefix(fd.status().message(), ": "));
}

// Opens as the jail's user: leaving the effective uid 0 takes the effective capabilities away
// (capabilities(7)), and coming back to it gives them again. A failure in between ends the jailer.
absl::StatusOr<UniqueFd> OpenAsUser(const Plan& plan, const OpenCall& call) {
  MSB_RETURN_IF_ERROR(
      Syscall("setgroups", [&] { return ::setgroups(plan.groups.size(), plan.groups.data()); }));
  MSB_RETURN_IF_ERROR(
      Syscall("setresgid", [&] { return ::setresgid(kUnchanged, plan.gid, kUnchanged); }));
  MSB_RETURN_IF_ERROR(
      Syscall("setresuid", [&] { return ::setresuid(kUnchanged, plan.uid, kUnchanged); }));
  absl::StatusOr<UniqueFd> fd = Open(call);
  MSB_RETURN_IF_ERROR(Syscall("setresuid", [] { return ::setresuid(kUnchanged, 0, kUnchanged); }));
  MSB_RETURN_IF_ERROR(Syscall("setresgid", [] { return ::setresgid(kUnchanged, 0, kUnchanged); }));
  MSB_RETURN_IF_ERROR(Syscall("setgroups", [] { return ::setgroups(0, nullptr); }));
  return fd;
}

// A mount of what `source` is and what is mounted below it, attached nowhere: its root is the end
// of every "..".
absl::StatusOr<UniqueFd> MountOf(const UniqueFd& source, OpenKind kind) {
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall("open_tree", [&] {
                         return ::open_tree(
                             source.get(), "",
                             AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
                       }));
  UniqueFd tree(raw);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (IsReadOnly(kind)) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  MSB_RETURN_IF_ERROR(Syscall("mount_setattr", [&] {
    return ::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                           sizeof(attributes));
  }));
  return tree;
}

absl::StatusOr<UniqueFd> OpenSource(const Plan& plan, const OpenRequest& request) {
  const auto open = [&](const OpenCall& call) {
    return request.rights == OpenRights::kUser ? OpenAsUser(plan, call) : Open(call);
  };
  MSB_ASSIGN_OR_RETURN(const UniqueFd source, open({.path = request.path, .flags = O_PATH}));
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(source.get(), &info); }));
  MSB_RETURN_IF_ERROR(CheckKind(request.kind, info.st_mode));
  if (!IsServedFileSystem(source.get())) {
    return MakeError(Reason::kInvalidArgument,
                     "it belongs to the host's kernel (proc, sysfs and their like)");
  }
  MSB_ASSIGN_OR_RETURN(UniqueFd tree, MountOf(source, request.kind));
  if (S_ISDIR(info.st_mode)) return tree;
  // Once more, for reading or writing: by a name that means this file, not by the path again.
  return open({.path = absl::StrCat("/proc/self/fd/", tree.get()),
               .flags = IsReadOnly(request.kind) ? O_RDONLY : O_RDWR,
               .proc_links = ProcLinks::kFollow});
}

}  // namespace

absl::Status OpenSources(const Plan& plan) {
  for (const OpenRequest& request : plan.opens) {
    const absl::StatusOr<UniqueFd> fd = OpenSource(plan, request);
    if (!fd.ok()) {
      return absl::Status(fd.status().code(),
                          absl::StrCat("source ", request.fd, ": ", fd.status().message()));
    }
    // Without O_CLOEXEC: it stays.
    MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("descriptor ", request.fd),
                                [&] { return ::dup2(fd->get(), request.fd); }));
  }
  return absl::OkStatus();
}

}  // namespace msb
