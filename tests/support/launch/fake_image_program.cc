// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stands in for msb-image in the launcher's tests. The job's id says what it does:
//
//   done...      two events, the last of them `done`
//   tell...      an error whose message is what it is and has
//   die...       last words, then code 7
//   hang...      nothing, with a child that does nothing either
//   rubbish...   bytes that are no event
//   large...     the head of a frame that is too large
//   write...     writes into its folder, then tries to leave it by ".."

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/frames.h"
#include "msb/image/v1/image.pb.h"

namespace {

using msb::image::v1::JobEvent;

constexpr int kHighestFd = 1024;

std::string Introduction() {
  std::string text = absl::StrCat("uid=", ::getuid(), " groups=", ::getgroups(0, nullptr), " fds=");
  for (int fd = 0; fd < kHighestFd; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) absl::StrAppend(&text, fd, ",");
  }
  struct stat info {};
  absl::StrAppend(&text, " resolv=", ::stat("/etc/resolv.conf", &info) == 0 ? "yes" : "no",
                  " proc=", ::stat("/proc/self", &info) == 0 ? "yes" : "no");
  return text;
}

std::string TryToLeave(int folder) {
  const int file = ::openat(folder, "blob", O_WRONLY | O_CREAT, 0644);
  struct stat here {};
  struct stat above {};
  ::fstatat(folder, ".", &here, 0);
  const bool same = ::fstatat(folder, "..", &above, 0) == 0 && here.st_ino == above.st_ino;
  return absl::StrCat("wrote=", file >= 0 ? "yes" : "no", " left=", same ? "no" : "yes");
}

void Send(int fd, const JobEvent& event) {
  msb::WriteFrame(fd, event.SerializeAsString(), absl::InfiniteFuture()).IgnoreError();
}

void SendError(int fd, const std::string& message) {
  JobEvent event;
  event.mutable_error()->set_reason(41);
  event.mutable_error()->set_message(message);
  Send(fd, event);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::string(argv[1]) != "--job-fd") return 2;
  const auto frame = msb::ReadFrame(std::atoi(argv[2]), absl::InfiniteFuture());
  msb::image::v1::JobSpec spec;
  if (!frame.ok() || !frame->has_value() || !spec.ParseFromString(**frame)) return 2;
  const int fd = spec.event_fd();
  const std::string& id = spec.id();
  if (absl::StartsWith(id, "done")) {
    JobEvent event;
    event.mutable_progress()->set_done_bytes(7);
    Send(fd, event);
    event.mutable_done();
    Send(fd, event);
  } else if (absl::StartsWith(id, "tell")) {
    SendError(fd, Introduction());
  } else if (absl::StartsWith(id, "write")) {
    SendError(fd, TryToLeave(spec.pull().blob_directory_fd()));
  } else if (absl::StartsWith(id, "die")) {
    std::fprintf(stderr, "the last words\n");
    return 7;
  } else if (absl::StartsWith(id, "hang")) {
    ::fork();
    ::pause();
  } else if (absl::StartsWith(id, "rubbish")) {
    msb::WriteFrame(fd, "\xff\xff\xff", absl::InfiniteFuture()).IgnoreError();
    ::pause();
  } else if (absl::StartsWith(id, "large")) {
    [[maybe_unused]] const auto written = ::write(fd, "\xff\xff\xff\x7f", 4);
    ::pause();
  }
  return 0;
}
