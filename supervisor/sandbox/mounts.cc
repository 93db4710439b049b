// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/mounts.h"

#include <set>

#include "absl/strings/str_cat.h"
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

absl::Status ValidateTarget(const std::string& path) {
  MSB_RETURN_IF_ERROR(ValidateGuestPath(path));
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
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

absl::Status ValidateSource(const msb::v1::Mount& mount) {
  switch (mount.source_case()) {
    case msb::v1::Mount::kVolume:
      return ValidateSandboxName(mount.volume().name());
    case msb::v1::Mount::kTmpfs:
      if (mount.tmpfs().size_mib() <= kMaxTmpfsMib) return absl::OkStatus();
      return MakeError(Reason::kInvalidResources,
                       absl::StrCat("a tmpfs has at most ", kMaxTmpfsMib, " MiB"));
    case msb::v1::Mount::kHost:
      return MakeError(Reason::kInvalidArgument,
                       "this daemon does not mount directories of the host");
    case msb::v1::Mount::SOURCE_NOT_SET:
      break;
  }
  return MakeError(Reason::kInvalidArgument, "a mount needs a source");
}

}  // namespace

absl::Status ValidateMounts(const msb::v1::SandboxSpec& spec) {
  if (spec.mounts_size() > kMaxMounts) {
    return MakeError(Reason::kLimitExceeded,
                     absl::StrCat(spec.mounts_size(), " mounts; at most ", kMaxMounts));
  }
  std::set<std::string> paths;
  std::set<std::string> volumes;
  for (const msb::v1::Mount& mount : spec.mounts()) {
    MSB_RETURN_IF_ERROR(ValidateTarget(mount.path()));
    MSB_RETURN_IF_ERROR(ValidateSource(mount));
    if (!paths.insert(mount.path()).second) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("two mounts on ", EscapeForLog(mount.path())));
    }
    if (mount.has_volume() && !volumes.insert(mount.volume().name()).second) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("the volume ", mount.volume().name(), " is mounted twice"));
    }
  }
  return absl::OkStatus();
}

std::string DiskSerialOf(int mount_index) { return absl::StrCat("mount-", mount_index); }

msb::agent::v1::MountAll MountRequestOf(const msb::v1::SandboxSpec& spec) {
  msb::agent::v1::MountAll request;
  for (int i = 0; i < spec.mounts_size(); ++i) {
    const msb::v1::Mount& wanted = spec.mounts(i);
    msb::agent::v1::Mount& mount = *request.add_mounts();
    mount.set_path(wanted.path());
    mount.set_read_only(wanted.read_only());
    if (wanted.has_volume()) mount.set_disk_serial(DiskSerialOf(i));
    if (wanted.has_tmpfs()) mount.set_tmpfs_bytes(wanted.tmpfs().size_mib() << 20);
  }
  return request;
}

}  // namespace msb
