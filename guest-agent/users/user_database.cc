// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/users/user_database.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

// (uid_t)-1 means "leave unchanged" to the kernel, so it is nobody's number.
constexpr uint32_t kNoId = ~uint32_t{0};

// Answers that are remembered; more begin anew.
constexpr size_t kMaxResolved = 64;

struct PasswdEntry {
  absl::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  absl::string_view home;
};

struct GroupEntry {
  absl::string_view name;
  uint32_t gid = 0;
  absl::string_view members;  // comma separated
};

std::optional<uint32_t> ParseId(absl::string_view text) {
  uint32_t id = 0;
  // SimpleAtoi alone takes signs and spaces.
  const bool digits = std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(text, &id) || id == kNoId) return std::nullopt;
  return id;
}

std::optional<PasswdEntry> ParsePasswdLine(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
  if (fields.size() < 6 || fields[0].empty()) return std::nullopt;
  const auto uid = ParseId(fields[2]);
  const auto gid = ParseId(fields[3]);
  if (!uid || !gid) return std::nullopt;
  return PasswdEntry{.name = fields[0], .uid = *uid, .gid = *gid, .home = fields[5]};
}

std::optional<GroupEntry> ParseGroupLine(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
  if (fields.size() < 3 || fields[0].empty()) return std::nullopt;
  const auto gid = ParseId(fields[2]);
  if (!gid) return std::nullopt;
  return GroupEntry{.name = fields[0],
                    .gid = *gid,
                    .members = fields.size() > 3 ? fields[3] : absl::string_view()};
}

// The first entry that `matches`, as the C library finds it.
template <typename Parse, typename Matches>
auto FindEntry(absl::string_view text, Parse parse, Matches matches) -> decltype(parse(text)) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const auto entry = parse(line);
    if (entry && matches(*entry)) return entry;
  }
  return std::nullopt;
}

absl::StatusOr<uint32_t> ResolveGroup(absl::string_view groups, absl::string_view wanted) {
  const auto named = FindEntry(groups, ParseGroupLine,
                               [&](const GroupEntry& entry) { return entry.name == wanted; });
  if (named) return named->gid;
  if (const auto gid = ParseId(wanted)) return *gid;
  return MakeError(Reason::kUserNotFound,
                   absl::StrCat("the image's /etc/group has no group \"", wanted, "\""));
}

// The groups whose member lists name the user, and the primary one, as initgroups(3) sets them.
std::vector<uint32_t> MembershipsOf(absl::string_view groups, const PasswdEntry& user) {
  std::vector<uint32_t> ids = {user.gid};
  for (const absl::string_view line : absl::StrSplit(groups, '\n')) {
    const auto entry = ParseGroupLine(line);
    if (!entry || entry->members.empty()) continue;
    for (const absl::string_view member : absl::StrSplit(entry->members, ',')) {
      if (member != user.name || std::find(ids.begin(), ids.end(), entry->gid) != ids.end())
        continue;
      ids.push_back(entry->gid);
    }
  }
  return ids;
}

std::shared_ptr<const std::string> ReadWhole(const std::string& path) {
  auto text = std::make_shared<std::string>();
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return text;
  char chunk[4096];
  while (text->size() < UserDatabase::kMaxFileBytes) {
    const ssize_t got = ::read(fd.get(), chunk, sizeof(chunk));
    if (got <= 0) break;
    text->append(chunk, static_cast<size_t>(got));
  }
  return text;
}

bool SameVersion(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

UserDatabase::UserDatabase(std::string directory)
    : passwd_{.path = absl::StrCat(directory, "/passwd")},
      group_{.path = absl::StrCat(directory, "/group")} {}

UserDatabase::SharedText UserDatabase::Text(CachedFile& file) {
  absl::MutexLock lock(&mutex_);
  struct stat version {};
  if (::stat(file.path.c_str(), &version) != 0) version = {};  // as good as empty
  if (file.text == nullptr || !SameVersion(version, file.version)) {
    file.text = ReadWhole(file.path);
    file.version = version;
  }
  return file.text;
}

absl::StatusOr<Identity> UserDatabase::Resolve(absl::string_view user) {
  SharedText passwd = Text(passwd_);
  std::optional<Resolved> known;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = resolved_.find(user);
    if (it != resolved_.end() && it->second.passwd == passwd) known = it->second;
  }
  if (known && (known->group == nullptr || known->group == Text(group_))) return known->identity;
  MSB_ASSIGN_OR_RETURN(Resolved resolved, Find(user, std::move(passwd)));
  absl::MutexLock lock(&mutex_);
  if (resolved_.size() >= kMaxResolved) resolved_.clear();
  return (resolved_[std::string(user)] = std::move(resolved)).identity;
}

absl::StatusOr<UserDatabase::Resolved> UserDatabase::Find(absl::string_view user,
                                                          SharedText passwd) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(user, absl::MaxSplits(':', 1));
  const absl::string_view wanted = parts.first;
  const absl::string_view wanted_group = parts.second;
  auto entry = FindEntry(*passwd, ParsePasswdLine,
                         [&](const PasswdEntry& line) { return line.name == wanted; });
  if (!entry) {
    const auto uid = wanted.empty() ? std::optional<uint32_t>(0) : ParseId(wanted);
    if (!uid) {
      return MakeError(Reason::kUserNotFound,
                       absl::StrCat("the image's /etc/passwd has no user \"", wanted, "\""));
    }
    entry = FindEntry(*passwd, ParsePasswdLine,
                      [&](const PasswdEntry& line) { return line.uid == *uid; });
    if (!entry) entry = PasswdEntry{.uid = *uid, .gid = 0, .home = "/"};
  }
  Resolved resolved;
  Identity& identity = resolved.identity;
  identity.uid = entry->uid;
  identity.gid = entry->gid;
  identity.name = std::string(entry->name);
  if (!entry->home.empty()) identity.home = std::string(entry->home);
  if (!wanted_group.empty()) {
    resolved.group = Text(group_);
    MSB_ASSIGN_OR_RETURN(identity.gid, ResolveGroup(*resolved.group, wanted_group));
  } else if (!wanted.empty() && !entry->name.empty()) {
    resolved.group = Text(group_);
    identity.groups = MembershipsOf(*resolved.group, *entry);
  }
  resolved.passwd = std::move(passwd);
  return resolved;
}

std::string UserDatabase::UserName(uint32_t uid) {
  const auto text = Text(passwd_);
  const auto entry =
      FindEntry(*text, ParsePasswdLine, [&](const PasswdEntry& line) { return line.uid == uid; });
  return entry ? std::string(entry->name) : std::string();
}

std::string UserDatabase::GroupName(uint32_t gid) {
  const auto text = Text(group_);
  const auto entry =
      FindEntry(*text, ParseGroupLine, [&](const GroupEntry& line) { return line.gid == gid; });
  return entry ? std::string(entry->name) : std::string();
}

}  // namespace msb
