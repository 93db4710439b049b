// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/connections.h"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr size_t kDatabaseBytes = 64 << 10;
constexpr int kMaxGroups = 65'536;
// What a jail takes (jailer/plan.h).
constexpr size_t kMaxPeerGroups = 4096;

bool SeesAll(uint32_t uid) { return uid == 0 || uid == ::geteuid(); }

// 0 for what is not open.
uint64_t InodeOf(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

bool IsMember(uint32_t uid, uint32_t gid, const std::string& group) {
  if (SeesAll(uid)) return true;
  if (group.empty()) return false;
  std::vector<char> buffer(kDatabaseBytes);
  struct group entry {};
  struct group* found = nullptr;
  ::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return false;
  const gid_t wanted = found->gr_gid;
  if (wanted == gid) return true;
  struct passwd user {};
  struct passwd* known = nullptr;
  ::getpwuid_r(uid, &user, buffer.data(), buffer.size(), &known);
  if (known == nullptr) return false;
  int count = 64;
  std::vector<gid_t> groups(static_cast<size_t>(count));
  while (::getgrouplist(known->pw_name, known->pw_gid, groups.data(), &count) < 0) {
    if (count > kMaxGroups) return false;
    groups.resize(static_cast<size_t>(count));
  }
  groups.resize(static_cast<size_t>(count));
  return std::find(groups.begin(), groups.end(), wanted) != groups.end();
}

absl::StatusOr<Caller> PeerOf(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  MSB_RETURN_IF_ERROR(Syscall(
      "SO_PEERCRED", [&] { return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size); }));
  Caller caller{.uid = peer.uid, .gid = peer.gid, .groups = {}, .sees_all = SeesAll(peer.uid)};
  caller.groups.resize(kMaxPeerGroups);
  size = static_cast<socklen_t>(caller.groups.size() * sizeof(uint32_t));
  MSB_RETURN_IF_ERROR(Syscall("SO_PEERGROUPS", [&] {
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, caller.groups.data(), &size);
  }));
  caller.groups.resize(size / sizeof(uint32_t));
  return caller;
}

absl::Status Connections::Admit(int fd, Caller caller, Right right) {
  absl::MutexLock lock(&mutex_);
  uint32_t open = 0;
  absl::erase_if(peers_, [&](const auto& entry) {
    if (entry.second.caller.uid != caller.uid) return false;
    const bool gone = InodeOf(entry.first) != entry.second.inode;
    if (!gone) ++open;
    return gone;
  });
  if (open >= max_per_user_) {
    return MakeError(Reason::kLimitExceeded,
                     absl::StrCat("user id ", caller.uid, " has ", open,
                                  " connections (limits.max_connections_per_user)"));
  }
  peers_[fd] = Peer{std::move(caller), right, InodeOf(fd)};
  return absl::OkStatus();
}

absl::StatusOr<Caller> Connections::CallerOf(absl::string_view peer,
                                             absl::string_view group) const {
  int fd = -1;
  if (!absl::ConsumePrefix(&peer, "fd:") || !absl::SimpleAtoi(peer, &fd)) {
    return MakeError(Reason::kInternalBug, absl::StrCat("a call from an unknown peer ", peer));
  }
  absl::MutexLock lock(&mutex_);
  const auto it = peers_.find(fd);
  if (it == peers_.end()) {
    return MakeError(Reason::kInternalBug, "a call on a connection that nobody accepted");
  }
  if (it->second.right == Right::kMember) {
    return it->second.caller;
  }
  return MakeError(Reason::kPermissionDenied,
                   group.empty()
                       ? "only root and the daemon's own user may use this daemon"
                       : absl::StrCat("user id ", it->second.caller.uid, " is not in group ", group,
                                      ": sudo usermod -aG ", group, " USER, then log in again"));
}

}  // namespace msb
