// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/message.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::vhost_user {
namespace {

absl::Status Malformed(absl::string_view detail) {
  return MakeError(Reason::kQemuError, absl::StrCat("vhost-user: ", detail));
}

// Takes over every descriptor of `header`'s control messages.
void TakeDescriptors(msghdr& header, std::vector<UniqueFd>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      descriptors.emplace_back(fd);
    }
  }
}

Header HeaderOf(const std::string& bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

}  // namespace

absl::StatusOr<std::optional<Message>> MessageReader::Next(int socket) {
  if (buffer_.size() < sizeof(Header)) {
    MSB_ASSIGN_OR_RETURN(const bool whole, Fill(socket, "header", sizeof(Header)));
    if (!whole) return std::nullopt;
  }
  const Header header = HeaderOf(buffer_);
  if ((header.flags & kVersionMask) != kVersion || (header.flags & kFlagReply) != 0) {
    return Malformed(absl::StrCat("request ", header.request, " has flags ", header.flags));
  }
  if (header.size > kMaxPayloadBytes) {
    return Malformed(absl::StrCat("request ", header.request, " of ", header.size, " bytes"));
  }
  MSB_ASSIGN_OR_RETURN(const bool whole, Fill(socket, "payload", sizeof(Header) + header.size));
  if (!whole) return std::nullopt;
  Message message{.request = Request{header.request},
                  .needs_reply = (header.flags & kFlagNeedReply) != 0,
                  .payload = buffer_.substr(sizeof(Header)),
                  .descriptors = std::exchange(descriptors_, {})};
  buffer_.clear();
  return message;
}

// Reads on until `wanted` bytes are buffered, never further: descriptors belong to the message
// whose bytes they came with. False when the socket has no more for now.
absl::StatusOr<bool> MessageReader::Fill(int socket, absl::string_view what, size_t wanted) {
  while (buffer_.size() < wanted) {
    char bytes[kMaxPayloadBytes];
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
    iovec vector{.iov_base = bytes, .iov_len = std::min(sizeof(bytes), wanted - buffer_.size())};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const absl::StatusOr<ssize_t> got = Syscall("recvmsg vhost-user", [&] {
      return ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    });
    // EAGAIN; or ECONNRESET, which is told once: the next call reads the end of the stream.
    if (absl::IsUnavailable(got.status())) return false;
    if (!got.ok()) return got.status();
    TakeDescriptors(header, descriptors_);
    if (*got == 0) {
      if (buffer_.empty()) return absl::UnavailableError("vhost-user: front end is gone");
      return Malformed(absl::StrCat("stream ends inside a message's ", what));
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0 || descriptors_.size() > kMaxDescriptors) {
      return Malformed(absl::StrCat("message with more than ", kMaxDescriptors, " descriptors"));
    }
    buffer_.append(bytes, static_cast<size_t>(*got));
  }
  return true;
}

absl::Status SendReply(int socket, Request request, absl::string_view payload) {
  const Header header{.request = static_cast<uint32_t>(request),
                      .flags = kVersion | kFlagReply,
                      .size = static_cast<uint32_t>(payload.size())};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(payload.data(), payload.size());
  const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return absl::OkStatus();
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
    return absl::UnavailableError("vhost-user: front end is gone");
  }
  return Malformed("front end reads no replies");
}

}  // namespace msb::vhost_user
