// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/tree/find_entry.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/served_file_systems.h"

namespace msb {

ErrnoOr<UniqueFd> OpenBeneath(int directory, const std::string& name, uint64_t flags, mode_t mode) {
  open_how how = {};
  how.flags = flags | O_NOFOLLOW | O_CLOEXEC;  // with O_PATH no other flag is allowed
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  MSB_ASSIGN_OR_ERRNO(const long fd, TrySyscall([&] {
                        return ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof(how));
                      }));
  return UniqueFd(static_cast<int>(fd));
}

ErrnoOr<Found> FindEntry(const FoundFrom& directory, const std::string& name) {
  Found found;
  MSB_ASSIGN_OR_ERRNO(found.fd, OpenBeneath(directory.fd, name, O_PATH, 0));
  if (::fstat(found.fd.get(), &found.info) != 0) return LastErrno();
  // A device is the host's; and what is mounted here may be none of the guest's business.
  if (S_ISCHR(found.info.st_mode) || S_ISBLK(found.info.st_mode)) return ErrnoValue(EACCES);
  found.kind = directory.kind;
  if (found.info.st_dev == directory.device) return found;
  if (!IsServedFileSystem(found.fd.get())) return ErrnoValue(EACCES);
  found.kind = KindOfFileSystem(found.fd.get());
  return found;
}

std::string IdentityOf(int fd) {
  // Has the generation of the inode in it, where a file system uses numbers again.
  struct {
    file_handle head;
    char bytes[MAX_HANDLE_SZ];
  } handle = {};
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH) == 0) {
    const auto* const bytes = reinterpret_cast<const char*>(handle.head.f_handle);
    return std::string(bytes, handle.head.handle_bytes);
  }
  struct statx info = {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &info) != 0) return "";
  if ((info.stx_mask & STATX_BTIME) == 0) return "";
  return absl::StrCat(info.stx_btime.tv_sec, ".", info.stx_btime.tv_nsec);
}

}  // namespace msb
