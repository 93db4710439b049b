// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The image's users and groups, read from its /etc/passwd and /etc/group.
//
// Parsed by ourselves: a static executable cannot load NSS modules, and the files belong to the
// image and its users, so they are read as hostile text (bounded, a broken line is skipped).

#ifndef MSB_GUEST_AGENT_USERS_USER_DATABASE_H_
#define MSB_GUEST_AGENT_USERS_USER_DATABASE_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace msb {

// Who a process or a file operation runs as.
struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  // Supplementary groups. Empty for root that was not asked for by name: it needs none.
  std::vector<uint32_t> groups;
  std::string name;  // empty for a number without an entry
  std::string home = "/";
};

// Thread-safe.
class UserDatabase {
 public:
  // Of each file at most this much is read; what follows is as good as absent.
  static constexpr size_t kMaxFileBytes = 1u << 20;

  // `directory`: where passwd and group stand.
  explicit UserDatabase(std::string directory = "/etc");

  // "", "name", "uid", "name:group", "uid:gid" and their mixtures, as Docker reads them: a name
  // wins over a number, a number needs no entry, and a group that is given replaces all those that
  // /etc/group lists the user in. kUserNotFound for a name without an entry.
  absl::StatusOr<Identity> Resolve(absl::string_view user);

  // Empty when there is no entry.
  std::string UserName(uint32_t uid);
  std::string GroupName(uint32_t gid);

 private:
  // A file's text, read again when the file has changed.
  struct CachedFile {
    std::string path;
    std::shared_ptr<const std::string> text;
    struct stat version {};
  };

  using SharedText = std::shared_ptr<const std::string>;
  // An identity and the texts it was found in; `group` is null when that file was not asked.
  struct Resolved {
    SharedText passwd;
    SharedText group;
    Identity identity;
  };

  SharedText Text(CachedFile& file) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Resolved> Find(absl::string_view user, SharedText passwd);

  absl::Mutex mutex_;  // of the contents of these
  CachedFile passwd_;
  CachedFile group_;
  absl::flat_hash_map<std::string, Resolved> resolved_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_USERS_USER_DATABASE_H_
