// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("a socket's path has 1 to ", sizeof(address.sun_path) - 1,
                                  " bytes, this one ", path.size(), ": ", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueFd> NewSocket(int flags) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("socket", [&] {
                         return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
                       }));
  return UniqueFd(fd);
}

}  // namespace

absl::StatusOr<UniqueFd> ListenUnix(const std::string& path, int backlog) {
  MSB_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  MSB_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket(SOCK_NONBLOCK));
  struct stat existing {};
  if (::lstat(path.c_str(), &existing) == 0 && S_ISSOCK(existing.st_mode)) ::unlink(path.c_str());
  // The mode of the file is set on the descriptor before bind, so that there is no moment at which
  // another user could connect.
  MSB_RETURN_IF_ERROR(Syscall("fchmod socket", [&] { return ::fchmod(fd.get(), 0600); }));
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("bind ", path), [&] {
    return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }));
  MSB_RETURN_IF_ERROR(
      Syscall(absl::StrCat("listen ", path), [&] { return ::listen(fd.get(), backlog); }));
  return fd;
}

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, Blocking blocking) {
  MSB_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  MSB_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket(blocking == Blocking::kNo ? SOCK_NONBLOCK : 0));
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("connect ", path), [&] {
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }));
  return fd;
}

absl::StatusOr<UniqueFd> AcceptUnix(int listener, Blocking blocking) {
  const int flags = SOCK_CLOEXEC | (blocking == Blocking::kNo ? SOCK_NONBLOCK : 0);
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("accept", [&] {
                         return ::accept4(listener, nullptr, nullptr, flags);
                       }));
  return UniqueFd(fd);
}

}  // namespace msb
