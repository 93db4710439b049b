// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/boot/ext4_grow.h"
#include "guest-agent/boot/layers.h"
#include "guest-agent/console.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr char kLower[] = "/lower";       // the image's layers
constexpr char kUpper[] = "/upper";       // file system of the writable layer
constexpr char kNewRoot[] = "/new-root";  // both, merged
constexpr size_t kMaxCommandLineBytes = 4096;

enum class Need { kRequired, kOptional };

struct MountPoint {
  const char* source;
  const char* target;
  const char* type;
  unsigned long flags;
  const char* data;
  Need need = Need::kRequired;
};

// The directory is only made when the mount misses it: mostly it is there.
absl::Status Mount(const MountPoint& mount) {
  int result = ::mount(mount.source, mount.target, mount.type, mount.flags, mount.data);
  if (result != 0 && errno == ENOENT && ::mkdir(mount.target, 0755) == 0) {
    result = ::mount(mount.source, mount.target, mount.type, mount.flags, mount.data);
  }
  if (result == 0) return absl::OkStatus();
  const absl::Status failed =
      ErrnoError(Reason::kSandboxStartFailed,
                 absl::StrCat("mount ", mount.source, " on ", mount.target), errno);
  if (mount.need == Need::kRequired) return failed;
  WriteConsole(failed.message());
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadCommandLine() {
  const UniqueFd file(::open("/proc/cmdline", O_RDONLY | O_CLOEXEC));
  char text[kMaxCommandLineBytes];
  const ssize_t got = ::read(file.get(), text, sizeof(text));
  if (got < 0) return ErrnoError(Reason::kSandboxStartFailed, "read /proc/cmdline", errno);
  return std::string(text, static_cast<size_t>(got));
}

bool HasDisk(const BootParameters& parameters) {
  if (parameters.overlay == BootParameters::Overlay::kTmpfs) return false;
  if (parameters.overlay == BootParameters::Overlay::kDisk) return true;
  return ::access(parameters.overlay_device.c_str(), F_OK) == 0;
}

absl::StatusOr<UniqueFd> MountWritableLayer(const BootParameters& parameters) {
  const bool disk = HasDisk(parameters);
  if (disk) {
    MSB_RETURN_IF_ERROR(Mount({parameters.overlay_device.c_str(), kUpper, "ext4", 0, ""}));
  } else {
    MSB_RETURN_IF_ERROR(Mount({"tmpfs", kUpper, "tmpfs", 0, "mode=0755"}));
  }
  UniqueFd top(::open(kUpper, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.valid()) return ErrnoError(Reason::kSandboxStartFailed, "open the overlay", errno);
  if (disk) {
    // A sandbox with less room than its disk still is one.
    const absl::Status grown = GrowExt4(top, parameters.overlay_device);
    if (!grown.ok()) WriteConsole(grown.message());
  }
  ::mkdirat(top.get(), "upper", 0755);
  ::mkdirat(top.get(), "work", 0755);
  return top;
}

// Everything is relative to the new root, which is the working directory.
absl::Status MoveRoot() {
  if (::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0 ||
      ::chdir("/") != 0) {
    return ErrnoError(Reason::kSandboxStartFailed, "switch to the image", errno);
  }
  return absl::OkStatus();
}

// What MountSystem has mounted at the top: the rest is below.
constexpr const char* kSystem[] = {"/proc", "/dev", "/sys", "/run"};

// By descriptor: behind the switch no path leads to them.
absl::StatusOr<std::vector<UniqueFd>> OpenSystem() {
  std::vector<UniqueFd> tops;
  for (const char* path : kSystem) {
    tops.emplace_back(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!tops.back().valid()) return ErrnoError(Reason::kSandboxStartFailed, path, errno);
  }
  return tops;
}

// Within the image, whose own links then lead where they should.
absl::Status MoveSystem(const std::vector<UniqueFd>& tops) {
  for (size_t i = 0; i < tops.size(); ++i) {
    const auto move = [&] {
      return ::move_mount(tops[i].get(), "", AT_FDCWD, kSystem[i],
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0;
    };
    if (move() || (errno == ENOENT && ::mkdir(kSystem[i], 0755) == 0 && move())) continue;
    return ErrnoError(Reason::kSandboxStartFailed, absl::StrCat("move ", kSystem[i]), errno);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MountSystem() {
  constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const MountPoint mounts[] = {
      {"proc", "/proc", "proc", kPlain, ""},
      {"dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
      {"sysfs", "/sys", "sysfs", kPlain, ""},
      {"cgroup2", "/sys/fs/cgroup", "cgroup2", kPlain, "", Need::kOptional},
      {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
      {"shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
      {"mqueue", "/dev/mqueue", "mqueue", kPlain, "", Need::kOptional},
      {"run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"},
  };
  for (const MountPoint& mount : mounts) MSB_RETURN_IF_ERROR(Mount(mount));
  // devtmpfs leaves these to user space; bash's <(...) needs the first.
  const std::pair<const char*, const char*> links[] = {{"/proc/self/fd", "/dev/fd"},
                                                       {"fd/0", "/dev/stdin"},
                                                       {"fd/1", "/dev/stdout"},
                                                       {"fd/2", "/dev/stderr"}};
  for (const auto& [target, link] : links) {
    if (::symlink(target, link) != 0 && errno != EEXIST) {
      WriteConsole(absl::StrCat("symlink ", link, ": errno ", errno));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<BootParameters> ReadBootParameters() {
  MSB_ASSIGN_OR_RETURN(const std::string command_line, ReadCommandLine());
  return ParseBootParameters(command_line);
}

absl::StatusOr<UniqueFd> SwitchToImage(const BootParameters& parameters) {
  ::mkdir(kLower, 0755);
  if (::chdir(kLower) != 0) return ErrnoError(Reason::kSandboxStartFailed, kLower, errno);
  MSB_ASSIGN_OR_RETURN(const std::string lower, MountImage(parameters));
  MSB_ASSIGN_OR_RETURN(UniqueFd upper, MountWritableLayer(parameters));
  const std::string options =
      absl::StrCat("lowerdir=", lower, ",upperdir=/upper/upper,workdir=/upper/work");
  MSB_RETURN_IF_ERROR(Mount({"overlay", kNewRoot, "overlay", 0, options.c_str()}));
  if (::chdir(kNewRoot) != 0) {
    return ErrnoError(Reason::kSandboxStartFailed, "enter the image", errno);
  }
  MSB_ASSIGN_OR_RETURN(const std::vector<UniqueFd> system, OpenSystem());
  MSB_RETURN_IF_ERROR(MoveRoot());
  MSB_RETURN_IF_ERROR(MoveSystem(system));
  if (::mkdir("/tmp", 01777) == 0) ::chmod("/tmp", 01777);
  return upper;
}

}  // namespace msb
