// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/boot/ext4_grow.h"
#include "guest-agent/console.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

// VIRTIO 1.2, 5.2.6: VIRTIO_BLK_ID_BYTES.
constexpr size_t kMaxSerialBytes = 20;

std::string ReadSerial(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char serial[kMaxSerialBytes + 1];
  const ssize_t got = file.valid() ? ::read(file.get(), serial, sizeof(serial)) : -1;
  if (got < 0) return "";
  return std::string(absl::StripAsciiWhitespace({serial, static_cast<size_t>(got)}));
}

struct MountCall {
  std::string source;
  std::string type;
  unsigned long flags;
  std::string data;
};

absl::Status Mount(const MountCall& call, const std::string& path) {
  if (::mount(call.source.c_str(), path.c_str(), call.type.c_str(), call.flags,
              call.data.c_str()) == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(Reason::kSandboxStartFailed,
                    absl::StrCat("mount ", call.type, " ", call.source, " on ", path), errno);
}

absl::Status MountDisk(const agent::v1::Mount& mount, unsigned long flags) {
  MSB_ASSIGN_OR_RETURN(const std::string device, DiskWithSerial("/sys/block", mount.disk_serial()));
  // A disk that cannot be written to cannot have its journal replayed either.
  MSB_RETURN_IF_ERROR(
      Mount({device, "ext4", flags, mount.read_only() ? "noload" : ""}, mount.path()));
  if (mount.read_only()) return absl::OkStatus();
  const UniqueFd top(::open(mount.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.valid()) return ErrnoError(Reason::kSandboxStartFailed, mount.path(), errno);
  // A volume with less room than its disk still is one.
  const absl::Status grown = GrowExt4(top, device);
  if (!grown.ok()) WriteConsole(grown.message());
  return absl::OkStatus();
}

absl::Status MountOne(const agent::v1::Mount& mount) {
  MSB_RETURN_IF_ERROR(MakeDirectories(mount.path()));
  const unsigned long flags = MS_NODEV | MS_NOSUID | (mount.read_only() ? MS_RDONLY : 0);
  switch (mount.source_case()) {
    case agent::v1::Mount::kFsTag:
      return Mount({mount.fs_tag(), "virtiofs", flags, ""}, mount.path());
    case agent::v1::Mount::kDiskSerial:
      return MountDisk(mount, flags);
    case agent::v1::Mount::kTmpfsBytes: {
      // Like /tmp, for all users of the guest.
      std::string data = "mode=1777";
      if (mount.tmpfs_bytes() != 0) absl::StrAppend(&data, ",size=", mount.tmpfs_bytes());
      return Mount({"tmpfs", "tmpfs", flags, data}, mount.path());
    }
    case agent::v1::Mount::SOURCE_NOT_SET:
      break;
  }
  return MakeError(Reason::kAgentProtocol, "a mount that this agent does not know");
}

}  // namespace

absl::StatusOr<std::string> DiskWithSerial(const std::string& sys_block, absl::string_view serial) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(sys_block.c_str()), ::closedir);
  while (const dirent* entry = folder == nullptr ? nullptr : ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name[0] == '.' || serial.empty()) continue;
    if (ReadSerial(absl::StrCat(sys_block, "/", name, "/serial")) == serial) {
      return absl::StrCat("/dev/", name);
    }
  }
  return MakeError(Reason::kSandboxStartFailed, absl::StrCat("there is no disk ", serial));
}

absl::Status MakeDirectories(const std::string& path) {
  if (path.empty() || path[0] != '/') {
    return MakeError(Reason::kPathInvalid, absl::StrCat("'", path, "' is not absolute"));
  }
  for (size_t slash = path.find('/', 1); true; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoError(Reason::kPathInvalid, absl::StrCat("make ", folder), errno);
    }
    if (slash == std::string::npos) break;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
  return MakeError(Reason::kPathInvalid, absl::StrCat(path, " is no directory"));
}

absl::Status MountAll(const agent::v1::MountAll& request) {
  for (const agent::v1::Mount& mount : request.mounts()) MSB_RETURN_IF_ERROR(MountOne(mount));
  return absl::OkStatus();
}

}  // namespace msb
