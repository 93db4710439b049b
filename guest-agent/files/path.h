// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Paths as requests bring them.

#ifndef MSB_GUEST_AGENT_FILES_PATH_H_
#define MSB_GUEST_AGENT_FILES_PATH_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace msb {

inline constexpr size_t kMaxPathBytes = 4095;

// kPathInvalid unless absolute, free of NUL and at most kMaxPathBytes long.
absl::Status CheckPath(absl::string_view path);

// The same of a path below a directory: relative, without "." and ".." and empty components.
absl::Status CheckRelativePath(absl::string_view path);

// "/a/b/" to "/a" and "b"; "/" to "/" and "".
struct SplitPath {
  std::string directory;
  std::string name;
};
SplitPath Split(absl::string_view path);

std::string Join(absl::string_view directory, absl::string_view name);

// Makes the directories of `path` that are missing, with `mode` less the process's umask. Not the
// last component, unless `with_last`.
enum class LastComponent { kMake, kLeave };
absl::Status MakeDirectories(absl::string_view path, uint32_t mode, LastComponent last);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_PATH_H_
