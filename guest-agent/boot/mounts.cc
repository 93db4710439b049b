// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

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

// The root of a virtio-fs device, mounted out of sight for as long as its entries are being bound:
// a bound entry keeps the file system alive.
class FsRoot {
 public:
  explicit FsRoot(std::string tag) : tag_(std::move(tag)) {}
  FsRoot(const FsRoot&) = delete;
  FsRoot& operator=(const FsRoot&) = delete;
  ~FsRoot() {
    if (mounted_) ::umount2(place_.c_str(), MNT_DETACH);
    if (!place_.empty()) ::rmdir(place_.c_str());
  }
  absl::Status Mount() {
    std::string place = "/.msb-mounts-XXXXXX";
    if (::mkdtemp(place.data()) == nullptr) {
      return ErrnoError(Reason::kSandboxStartFailed, absl::StrCat("make ", place), errno);
    }
    place_ = std::move(place);
    MSB_RETURN_IF_ERROR(msb::Mount({tag_, "virtiofs", MS_NODEV | MS_NOSUID, ""}, place_));
    mounted_ = true;
    return absl::OkStatus();
  }
  const std::string& tag() const { return tag_; }
  std::string PathOf(uint32_t index) const { return absl::StrCat(place_, "/", index); }

 private:
  const std::string tag_;
  std::string place_;
  bool mounted_ = false;
};

// What a bind mount adds it has to be told apart.
absl::Status MountEntry(const FsRoot& root, const agent::v1::Mount& mount, unsigned long flags) {
  const std::string entry = root.PathOf(mount.fs_entry().index());
  struct stat info {};
  if (::stat(entry.c_str(), &info) != 0) {
    return ErrnoError(Reason::kSandboxStartFailed,
                      absl::StrCat("what is to be mounted on ", mount.path()), errno);
  }
  MSB_RETURN_IF_ERROR(S_ISDIR(info.st_mode) ? MakeDirectories(mount.path())
                                            : MakeFile(mount.path()));
  MSB_RETURN_IF_ERROR(Mount({entry, "", MS_BIND, ""}, mount.path()));
  return Mount({"", "", flags | MS_BIND | MS_REMOUNT, ""}, mount.path());
}

// In one file system, whichever entry comes first.
class Mounter {
 public:
  absl::Status MountOne(const agent::v1::Mount& mount);

 private:
  absl::Status FindRoot(const std::string& tag) {
    if (root_ != nullptr && root_->tag() == tag) return absl::OkStatus();
    root_ = std::make_unique<FsRoot>(tag);
    return root_->Mount();
  }
  std::unique_ptr<FsRoot> root_;
};

absl::Status Mounter::MountOne(const agent::v1::Mount& mount) {
  const unsigned long flags = MS_NODEV | MS_NOSUID | (mount.read_only() ? MS_RDONLY : 0);
  if (mount.has_fs_entry()) {
    MSB_RETURN_IF_ERROR(FindRoot(mount.fs_entry().tag()));
    return MountEntry(*root_, mount, flags);
  }
  MSB_RETURN_IF_ERROR(MakeDirectories(mount.path()));
  switch (mount.source_case()) {
    case agent::v1::Mount::kDiskSerial:
      return MountDisk(mount, flags);
    case agent::v1::Mount::kTmpfsBytes: {
      // Like /tmp, for all users of the guest.
      std::string data = "mode=1777";
      if (mount.tmpfs_bytes() != 0) absl::StrAppend(&data, ",size=", mount.tmpfs_bytes());
      return Mount({"tmpfs", "tmpfs", flags, data}, mount.path());
    }
    case agent::v1::Mount::kFsEntry:
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

absl::Status MakeFile(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash + 1 == path.size()) {
    return MakeError(Reason::kPathInvalid, absl::StrCat("'", path, "' is no path of a file"));
  }
  if (slash > 0) MSB_RETURN_IF_ERROR(MakeDirectories(path.substr(0, slash)));
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode)) return absl::OkStatus();
    return MakeError(Reason::kPathInvalid,
                     absl::StrCat(path, " is a directory, and what is mounted there a file"));
  }
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.valid()) return absl::OkStatus();
  return ErrnoError(Reason::kPathInvalid, absl::StrCat("make ", path), errno);
}

absl::Status MountAll(const agent::v1::MountAll& request) {
  Mounter mounter;
  for (const agent::v1::Mount& mount : request.mounts()) {
    MSB_RETURN_IF_ERROR(mounter.MountOne(mount));
  }
  return absl::OkStatus();
}

}  // namespace msb
