// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/file_info.h"

#include <fcntl.h>
#include <unistd.h>

#include "guest-agent/files/file_error.h"
#include "guest-agent/files/path.h"

namespace msb {

using agent::v1::FileType;

FileType FileTypeOf(mode_t mode) {
  if (S_ISREG(mode)) return FileType::FILE_TYPE_REGULAR;
  if (S_ISDIR(mode)) return FileType::FILE_TYPE_DIRECTORY;
  if (S_ISLNK(mode)) return FileType::FILE_TYPE_SYMLINK;
  return FileType::FILE_TYPE_OTHER;
}

int64_t ModificationTime(const struct stat& status) {
  // Years beyond 2262 do not fit into ns: such a time wraps rather than overflows.
  return static_cast<int64_t>(static_cast<uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000u +
                              static_cast<uint64_t>(status.st_mtim.tv_nsec));
}

absl::Status SetModificationTime(int fd, int64_t ns, const std::string& path) {
  if (ns == 0) return absl::OkStatus();
  int64_t seconds = ns / 1'000'000'000;
  int64_t rest = ns % 1'000'000'000;
  if (rest < 0) {
    --seconds;
    rest += 1'000'000'000;
  }
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                             {.tv_sec = seconds, .tv_nsec = static_cast<long>(rest)}};
  if (::utimensat(fd, "", times, AT_EMPTY_PATH) != 0) return FileError("set the time of", path);
  return absl::OkStatus();
}

std::string ReadLink(int directory_fd, const char* name) {
  char target[kMaxPathBytes + 1];
  const ssize_t size = ::readlinkat(directory_fd, name, target, sizeof(target));
  return size < 0 ? std::string() : std::string(target, static_cast<size_t>(size));
}

agent::v1::FileInfo FileInfoMaker::Make(absl::string_view path, absl::string_view name,
                                        const struct stat& status) {
  const auto [owner, new_owner] = owners_.try_emplace(status.st_uid);
  if (new_owner) owner->second = users_.UserName(status.st_uid);
  const auto [group, new_group] = groups_.try_emplace(status.st_gid);
  if (new_group) group->second = users_.GroupName(status.st_gid);
  agent::v1::FileInfo info;
  info.set_name(std::string(name));
  info.set_path(std::string(path));
  info.set_type(FileTypeOf(status.st_mode));
  info.set_size(static_cast<uint64_t>(status.st_size));
  info.set_mode(status.st_mode & 07777);
  info.set_uid(status.st_uid);
  info.set_gid(status.st_gid);
  info.set_mtime_ns(ModificationTime(status));
  info.set_owner(owner->second);
  info.set_group(group->second);
  return info;
}

}  // namespace msb
