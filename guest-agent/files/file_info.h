// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a FileInfo says, from the file system and the image's users.

#ifndef MSB_GUEST_AGENT_FILES_FILE_INFO_H_
#define MSB_GUEST_AGENT_FILES_FILE_INFO_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "guest-agent/users/user_database.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

agent::v1::FileType FileTypeOf(mode_t mode);

// ns since the epoch, negative before it.
int64_t ModificationTime(const struct stat& status);

// Sets it for what `fd`, an O_PATH descriptor too, stands for; `path` is for the error. 0 leaves
// it.
absl::Status SetModificationTime(int fd, int64_t ns, const std::string& path);

// The target of the symlink `name` in the directory `directory_fd`; empty when it cannot be read.
std::string ReadLink(int directory_fd, const char* name);

// Looks each owner up once, however many files it has.
class FileInfoMaker {
 public:
  explicit FileInfoMaker(UserDatabase& users) : users_(users) {}

  // Without symlink_target.
  agent::v1::FileInfo Make(absl::string_view path, absl::string_view name,
                           const struct stat& status);

 private:
  UserDatabase& users_;
  absl::flat_hash_map<uint32_t, std::string> owners_;
  absl::flat_hash_map<uint32_t, std::string> groups_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_FILE_INFO_H_
