// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/link/descriptors.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::net {

absl::StatusOr<size_t> ReceiveWithDescriptors(int socket, std::string& buffer,
                                              std::vector<UniqueFd>& descriptors) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptorsAtOnce * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return size_t{0};
  if (got <= 0) return absl::UnavailableError("the other side has gone");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      descriptors.emplace_back(fd);
    }
  }
  return static_cast<size_t>(got);
}

absl::Status SendWithDescriptors(int socket, absl::string_view packet,
                                 absl::Span<const int> descriptors) {
  if (descriptors.size() > kMaxDescriptorsAtOnce) {
    return absl::InvalidArgumentError("too many descriptors");
  }
  iovec part{const_cast<char*>(packet.data()), packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptorsAtOnce * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
  }
  return Syscall("sendmsg",
                 [&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); })
      .status();
}

}  // namespace msb::net
