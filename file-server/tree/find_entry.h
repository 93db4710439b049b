// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The one way in which a name becomes a descriptor: a step from a directory that is held to an
// entry of it.

#ifndef MSB_FILE_SERVER_TREE_FIND_ENTRY_H_
#define MSB_FILE_SERVER_TREE_FIND_ENTRY_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "base/unique_fd.h"
#include "file-server/fuse/errno_or.h"
#include "file-server/tree/file_system_kind.h"

namespace msb {

// A descriptor (O_PATH) found by name, and what it is.
struct Found {
  UniqueFd fd;
  struct stat info = {};
  FileSystemKind kind = FileSystemKind::kLocal;
};

// A symbolic link is found, not followed.
ErrnoOr<UniqueFd> OpenBeneath(int directory, const std::string& name, uint64_t flags, mode_t mode);

// A directory that is held, and its file system.
struct FoundFrom {
  int fd = -1;
  dev_t device = 0;
  FileSystemKind kind = FileSystemKind::kLocal;
};

// EACCES for what no guest sees.
ErrnoOr<Found> FindEntry(const FoundFrom& directory, const std::string& name);

// What tells a file from one that gets its number when it is gone; empty where the file system has
// nothing of the kind.
std::string IdentityOf(int fd);

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_FIND_ENTRY_H_
