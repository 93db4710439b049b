// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/mounts.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

constexpr int kMaxMounts = 32;
// Half of the guest's address space is more than any guest has.
constexpr uint64_t kMaxTmpfsMib = uint64_t{1} << 24;
// The guest needs these as they are.
constexpr absl::string_view kReserved[] = {"proc", "sys", "dev"};
constexpr size_t kMaxHostPathBytes = 4095;  // PATH_MAX without its NUL

// A name's price, and more than any file system has.
constexpr uint64_t kLeastQuota = 4096;
constexpr uint64_t kMostQuota = uint64_t{1} << 50;

using Parts = std::vector<absl::string_view>;

Parts PartsOf(const std::string& path) { return absl::StrSplit(path, '/', absl::SkipEmpty()); }

absl::Status ValidateTarget(const std::string& path) {
  MSB_RETURN_IF_ERROR(ValidateGuestPath(path));
  const Parts parts = PartsOf(path);
  const auto wrong = [&](absl::string_view what) {
    return MakeError(Reason::kPathInvalid,
                     absl::StrCat("mount on '", EscapeForLog(path), "': ", what));
  };
  if (parts.empty()) return wrong("the root is the image's");
  for (absl::string_view part : parts) {
    if (part == "." || part == "..") return wrong("has a part \".\" or \"..\"");
  }
  for (absl::string_view reserved : kReserved) {
    if (parts[0] == reserved && (parts.size() == 1 || reserved != "dev")) {
      return wrong(absl::StrCat("/", reserved, " is the guest's own"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateHostMount(const msb::v1::HostMount& mount) {
  const std::string& path = mount.path();
  if (path.empty() || path[0] != '/' || path.size() > kMaxHostPathBytes ||
      path.find('\0') != std::string::npos) {
    return MakeError(
        Reason::kMountSourceInvalid,
        absl::StrCat("'", EscapeForLog(path.substr(0, 64)),
                     "' is no absolute path of the host of at most ", kMaxHostPathBytes, " bytes"));
  }
  if (mount.guest_uid() != UINT32_MAX && mount.guest_gid() != UINT32_MAX) return absl::OkStatus();
  return MakeError(Reason::kInvalidArgument, "guest_uid and guest_gid are 0 to 4294967294");
}

// Whether a mount on `above` would hide one on `below`.
bool Hides(const Parts& above, const Parts& below) {
  return above.size() <= below.size() && std::equal(above.begin(), above.end(), below.begin());
}

absl::Status ValidateSource(const msb::v1::Mount& mount) {
  switch (mount.source_case()) {
    case msb::v1::Mount::kVolume:
      return ValidateSandboxName(mount.volume().name());
    case msb::v1::Mount::kTmpfs:
      if (mount.tmpfs().size_mib() <= kMaxTmpfsMib) return absl::OkStatus();
      return MakeError(Reason::kInvalidResources,
                       absl::StrCat("a tmpfs has at most ", kMaxTmpfsMib, " MiB"));
    case msb::v1::Mount::kHost:
      return ValidateHostMount(mount.host());
    case msb::v1::Mount::SOURCE_NOT_SET:
      break;
  }
  return MakeError(Reason::kInvalidArgument, "a mount needs a source");
}

absl::Status ValidateQuota(const msb::v1::Mount& mount) {
  if (mount.quota_bytes() == 0) return absl::OkStatus();
  const auto wrong = [&](Reason reason, absl::string_view what) {
    return MakeError(reason, absl::StrCat("mount on '", EscapeForLog(mount.path()), "': ", what));
  };
  if (mount.has_tmpfs()) return wrong(Reason::kInvalidArgument, "a tmpfs has a size, and no quota");
  if (mount.read_only()) {
    return wrong(Reason::kInvalidArgument, "what is read-only does not grow, and has no quota");
  }
  if (mount.quota_bytes() >= kLeastQuota && mount.quota_bytes() <= kMostQuota) {
    return absl::OkStatus();
  }
  return wrong(Reason::kInvalidResources,
               absl::StrCat("a quota is ", kLeastQuota, " to ", kMostQuota, " bytes"));
}

}  // namespace

absl::Status ValidateMounts(const msb::v1::SandboxSpec& spec) {
  if (spec.mounts_size() > kMaxMounts) {
    return MakeError(Reason::kLimitExceeded,
                     absl::StrCat(spec.mounts_size(), " mounts; at most ", kMaxMounts));
  }
  std::vector<Parts> earlier;
  std::set<std::string> volumes;
  for (const msb::v1::Mount& mount : spec.mounts()) {
    MSB_RETURN_IF_ERROR(ValidateTarget(mount.path()));
    MSB_RETURN_IF_ERROR(ValidateSource(mount));
    MSB_RETURN_IF_ERROR(ValidateQuota(mount));
    const Parts parts = PartsOf(mount.path());
    for (const Parts& hidden : earlier) {
      if (!Hides(parts, hidden)) continue;
      return MakeError(
          Reason::kInvalidArgument,
          absl::StrCat("the mount on ", EscapeForLog(mount.path()), " would hide the one on /",
                       EscapeForLog(absl::StrJoin(hidden, "/")),
                       parts == hidden ? "" : "; name it before that"));
    }
    earlier.push_back(parts);
    if (mount.has_volume() && !volumes.insert(mount.volume().name()).second) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("the volume ", mount.volume().name(), " is mounted twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHostMount(const Caller& caller, const MountsConfig& config,
                            const msb::v1::HostMount& mount) {
  if (config.host == "none") {
    return MakeError(Reason::kPermissionDenied,
                     "this daemon mounts nothing of the host (mounts.host = \"none\")");
  }
  if (caller.way == Caller::Way::kToken && config.host != "all") {
    return MakeError(Reason::kPermissionDenied,
                     "a caller by token says nothing of its rights on the host, and mounts nothing "
                     "of it: call on the Unix socket (or mounts.host = \"all\")");
  }
  if (caller.uid == 0 && (mount.guest_uid() != 0 || mount.guest_gid() != 0)) {
    return MakeError(Reason::kInvalidArgument,
                     "root's mounts have the same owners on both sides: no guest_uid, guest_gid");
  }
  return absl::OkStatus();
}

absl::Status CompleteQuota(const MountsConfig& config, msb::v1::Mount& mount) {
  if (!IsServed(mount)) {
    if (mount.quota_bytes() == 0) return absl::OkStatus();
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("mount on '", EscapeForLog(mount.path()), "': the volume ",
                                  mount.volume().name(), " is a disk of a size, and has no quota"));
  }
  if (mount.quota_bytes() == 0 && !mount.read_only()) {
    mount.set_quota_bytes(uint64_t{config.quota_mib} << 20);
  }
  return absl::OkStatus();
}

void HideHostPaths(const Caller& caller, msb::v1::Sandbox& view) {
  // Whoever has the token is no user of the host, and counts as root.
  if (caller.uid == view.owner_uid() && caller.way == Caller::Way::kSocket) return;
  for (msb::v1::Mount& mount : *view.mutable_spec()->mutable_mounts()) {
    if (mount.has_host()) mount.mutable_host()->clear_path();
  }
}

bool IsServed(const msb::v1::Mount& mount) {
  return mount.has_host() ||
         (mount.has_volume() && mount.volume().kind() == msb::v1::VOLUME_KIND_DIRECTORY);
}

std::string DiskSerialOf(int mount_index) { return absl::StrCat("mount-", mount_index); }

msb::agent::v1::MountAll MountRequestOf(const msb::v1::SandboxSpec& spec) {
  msb::agent::v1::MountAll request;
  uint32_t entry = 0;
  for (int i = 0; i < spec.mounts_size(); ++i) {
    const msb::v1::Mount& wanted = spec.mounts(i);
    msb::agent::v1::Mount& mount = *request.add_mounts();
    mount.set_path(wanted.path());
    mount.set_read_only(wanted.read_only());
    if (IsServed(wanted)) {
      mount.mutable_fs_entry()->set_tag(kFileSystemTag);
      mount.mutable_fs_entry()->set_index(entry++);
    } else if (wanted.has_volume()) {
      mount.set_disk_serial(DiskSerialOf(i));
    }
    if (wanted.has_tmpfs()) mount.set_tmpfs_bytes(wanted.tmpfs().size_mib() << 20);
  }
  return request;
}

}  // namespace msb
