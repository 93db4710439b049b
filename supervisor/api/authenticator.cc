// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/authenticator.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr size_t kMaxTokenFileBytes = 4096;

// As long for a wrong token as for the right one.
bool SameText(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

absl::StatusOr<std::string> ReadToken(int fd, const std::string& path) {
  std::string text(kMaxTokenFileBytes, '\0');
  MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall(absl::StrCat("read ", path), [&] {
                         return ::read(fd, text.data(), text.size());
                       }));
  text.resize(static_cast<size_t>(got));
  const std::string token(absl::StripAsciiWhitespace(text));
  if (token.size() < kTokenBytes) {
    return MakeError(Reason::kConfigInvalid,
                     absl::StrCat(path, " holds no token; delete it, and a new one is made"));
  }
  return token;
}

absl::StatusOr<std::string> MakeToken(const std::string& path, const std::string& group) {
  std::array<char, kTokenBytes> bytes;
  MSB_RETURN_IF_ERROR(
      Syscall("getrandom", [&] { return ::getrandom(bytes.data(), bytes.size(), 0); }));
  const std::string token = absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(absl::StrCat("make ", path), [&] {
                         return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                       }));
  UniqueFd fd(raw);
  const std::string line = token + "\n";
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("write ", path),
                              [&] { return ::write(fd.get(), line.data(), line.size()); }));
  if (const struct group* entry = ::getgrnam(group.c_str()); !group.empty() && entry != nullptr) {
    MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("give ", path, " to group ", group), [&] {
      return ::fchown(fd.get(), static_cast<uid_t>(-1), entry->gr_gid);
    }));
    MSB_RETURN_IF_ERROR(
        Syscall(absl::StrCat("chmod ", path), [&] { return ::fchmod(fd.get(), 0640); }));
  }
  return token;
}

Caller DaemonItself() {
  Caller caller{.uid = ::geteuid(),
                .gid = ::getegid(),
                .groups = {},
                .sees_all = true,
                .way = Caller::Way::kToken};
  const int count = ::getgroups(0, nullptr);
  if (count <= 0) return caller;
  caller.groups.resize(static_cast<size_t>(count));
  const int got = ::getgroups(count, caller.groups.data());
  caller.groups.resize(static_cast<size_t>(std::max(got, 0)));
  return caller;
}

}  // namespace

Authenticator::Authenticator(std::string token, std::string group,
                             uint32_t max_connections_per_user)
    : token_(std::move(token)),
      group_(std::move(group)),
      daemon_(DaemonItself()),
      connections_(max_connections_per_user) {}

absl::StatusOr<std::string> LoadOrMakeToken(const std::string& path, const std::string& group) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.valid()) return ReadToken(fd.get(), path);
  if (errno != ENOENT) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  return MakeToken(path, group);
}

absl::StatusOr<Caller> Authenticator::CallerOf(int connection) const {
  return connections_.CallerOf(absl::StrCat("fd:", connection), group_);
}

absl::StatusOr<Caller> Authenticator::CallerOf(const grpc::ServerContextBase& context) const {
  const std::string peer = context.peer();
  if (peer.rfind("fd:", 0) == 0) return connections_.CallerOf(peer, group_);
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("authorization");
  constexpr absl::string_view kScheme = "Bearer ";
  if (it != metadata.end()) {
    const absl::string_view value(it->second.data(), it->second.size());
    if (value.substr(0, kScheme.size()) == kScheme &&
        SameText(value.substr(kScheme.size()), token_)) {
      return daemon_;
    }
  }
  return MakeError(Reason::kUnauthenticated,
                   "this address needs `authorization: Bearer TOKEN`; the token is in the daemon's "
                   "token file");
}

}  // namespace msb
