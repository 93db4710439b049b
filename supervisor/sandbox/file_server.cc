// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/file_server.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "supervisor/sandbox/mounts.h"

namespace msb {
namespace {

// Its threads, and some for the C library's sake.
constexpr uint32_t kPidsMax = 24;
// Descriptors that are neither inodes nor open files (file-server/main.cc).
constexpr uint32_t kOtherDescriptors = 64;

CompanionSource SourceOf(const DataDirectory& data, const msb::v1::Mount& mount) {
  CompanionSource source{
      .access = mount.read_only() ? SourceAccess::kReadOnly : SourceAccess::kReadWrite,
      .reason = Reason::kMountSourceInvalid,
      .label = absl::StrCat("the source of the mount on ", EscapeForLog(mount.path()))};
  if (mount.has_host()) {
    source.path = mount.host().path();
    source.kind = SourceKind::kAny;
  } else {
    source.path = data.FilesOfVolume(mount.volume().name());
    source.kind = SourceKind::kDirectory;
    source.rights = SourceRights::kDaemon;
  }
  return source;
}

std::string ExportOf(const msb::v1::Mount& mount, int fd) {
  return absl::StrCat(fd, mount.read_only() ? ":ro:" : ":rw:", mount.host().guest_uid(), ":",
                      mount.host().guest_gid(), ":", mount.quota_bytes());
}

}  // namespace

bool NeedsFileServer(const msb::v1::SandboxSpec& spec) {
  return std::any_of(spec.mounts().begin(), spec.mounts().end(), IsServed);
}

CompanionSpec FileServerOf(const Config& config, const DataDirectory& data,
                           const SandboxRecord& record) {
  CompanionSpec companion;
  companion.name = kFileServerCompanion;
  companion.executable = config.daemon.fs;
  companion.identity = CompanionIdentity{
      .uid = record.owner_uid, .gid = record.owner_gid, .groups = record.owner_groups};
  companion.proc = true;
  // A page of the guest's memory counts for whoever touches it first, and that may be this process:
  // what a guest reads goes straight into its page cache.
  companion.memory_mib = config.mounts.memory_mib + record.spec.resources().memory_mib();
  companion.cpu_milli = config.mounts.cpu_milli;
  companion.pids_max = kPidsMax;
  companion.max_open_files =
      config.mounts.max_inodes + config.mounts.max_open_files + kOtherDescriptors;
  companion.arguments = {"--socket-fd",   absl::StrCat(kCompanionVmmFd),
                         "--max-inodes",  absl::StrCat(config.mounts.max_inodes),
                         "--max-handles", absl::StrCat(config.mounts.max_open_files),
                         "--threads",     absl::StrCat(config.mounts.threads)};
  if (record.owner_uid == 0) {
    // What root can do with files, and no more: neither devices nor setuid nor mounts.
    companion.capabilities = {"chown", "dac_override", "fowner"};
    companion.arguments.push_back("--pass-ids");
  }
  if (config.jail.seccomp == "off-for-debugging") {
    companion.arguments.push_back("--debug-without-seccomp");
  }
  int fd = kFirstCompanionOwnFd;
  for (const msb::v1::Mount& mount : record.spec.mounts()) {
    if (!IsServed(mount)) continue;
    CompanionSource source = SourceOf(data, mount);
    source.fd = fd++;
    companion.arguments.insert(companion.arguments.end(), {"--export", ExportOf(mount, source.fd)});
    companion.sources.push_back(std::move(source));
  }
  return companion;
}

void AddFileServer(const Config& config, const DataDirectory& data, const SandboxRecord& record,
                   LaunchSpec& spec) {
  if (!NeedsFileServer(record.spec)) return;
  spec.file_system =
      LaunchSpec::FileSystem{.tag = kFileSystemTag, .companion = spec.companions.size()};
  spec.companions.push_back(FileServerOf(config, data, record));
}

}  // namespace msb
