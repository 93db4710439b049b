// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/descriptors.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/wait_for.h"

namespace msb {
namespace {

// Linux's SCM_MAX_FD. What finds no room is closed by the kernel, on our time.
constexpr size_t kMaxDescriptorsOfMessage = 253;

}  // namespace

absl::StatusOr<size_t> ReceiveWithDescriptors(int socket, std::string& buffer,
                                              std::vector<UniqueFd>& descriptors) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptorsOfMessage * sizeof(int))];
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

namespace {

// What was sent of `bytes`; -1 with errno: none of them.
ssize_t Send(int socket, absl::string_view bytes, absl::Span<const int> descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
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
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

absl::Status CheckCount(absl::Span<const int> descriptors) {
  if (descriptors.size() <= kMaxDescriptorsAtOnce) return absl::OkStatus();
  return absl::InvalidArgumentError("too many descriptors");
}

}  // namespace

absl::Status SendWithDescriptors(int socket, absl::string_view packet,
                                 absl::Span<const int> descriptors) {
  MSB_RETURN_IF_ERROR(CheckCount(descriptors));
  return Syscall("sendmsg", [&] { return Send(socket, packet, descriptors); }).status();
}

absl::Status WriteWithDescriptors(int socket, absl::string_view bytes,
                                  absl::Span<const int> descriptors, absl::Time deadline) {
  MSB_RETURN_IF_ERROR(CheckCount(descriptors));
  while (!bytes.empty()) {
    const ssize_t sent = Send(socket, bytes, descriptors);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      descriptors = {};  // they are with the other side
    } else if (errno == EAGAIN) {
      MSB_RETURN_IF_ERROR(WaitFor(socket, POLLOUT, deadline));
    } else if (errno != EINTR) {
      return absl::ErrnoToStatus(errno, "sendmsg");
    }
  }
  return absl::OkStatus();
}

}  // namespace msb
