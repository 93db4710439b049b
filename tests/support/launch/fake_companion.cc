// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stands in for a companion in the launcher's tests: says in its log what it is, then sends back
// what its VMM sends, and what comes on its control socket, until the VMM hangs up. Arguments
// change that:
//
//   --exit=N        ends at once with that code
//   --hog=MIB       touches that much memory first
//   --log=BYTES     writes so much to its log first
//   --read=FD       says what the file FD holds
//   --stay          does not mind that the VMM hangs up

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/frames.h"
#include "base/unix_socket.h"

namespace {

constexpr int kControlFd = 3;
constexpr int kVmmFd = 4;
constexpr int kInputFd = 5;
constexpr int kHighestFd = 1024;

void Introduce() {
  std::fprintf(stderr, "uid=%d gid=%d groups=%d fds=", ::getuid(), ::getgid(),
               ::getgroups(0, nullptr));
  for (int fd = 0; fd < kHighestFd; ++fd) {
    char byte;
    if (::read(fd, &byte, 0) == 0 || errno != EBADF) std::fprintf(stderr, "%d,", fd);
  }
  std::fprintf(stderr, "\n");
  const auto input = msb::ReadFrame(kInputFd, absl::InfiniteFuture());
  if (input.ok() && input->has_value()) std::fprintf(stderr, "input=%s\n", (*input)->c_str());
}

void Obey(absl::string_view name, int value) {
  if (name == "--exit") {
    std::fprintf(stderr, "the last words\n");
    std::exit(value);
  }
  for (int i = 0; name == "--hog" && i < value; ++i) {
    std::memset(std::malloc(1 << 20), 1, 1 << 20);
  }
  for (int i = 0; name == "--log" && i < value; ++i) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, "x", 1);
  }
  if (name == "--read") {
    char text[64] = "";
    [[maybe_unused]] const auto size = ::read(value, text, sizeof(text) - 1);
    std::fprintf(stderr, "text=%s\n", text);
  }
}

// False when the other side has hung up.
bool Echo(int fd) {
  char block[4096];
  const ssize_t size = ::read(fd, block, sizeof(block));
  return size > 0 && ::write(fd, block, static_cast<size_t>(size)) == size;
}

}  // namespace

int main(int argc, char** argv) {
  Introduce();
  bool stay = false;
  for (int i = 1; i < argc; ++i) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    int value = 0;
    stay = stay || pair.first == "--stay";
    if (absl::SimpleAtoi(pair.second, &value)) Obey(pair.first, value);
  }
  pollfd fds[] = {{.fd = kVmmFd, .events = POLLIN, .revents = 0},
                  {.fd = kControlFd, .events = POLLIN, .revents = 0}};
  while (true) {
    ::poll(fds, 2, -1);
    if (fds[0].revents != 0 && !Echo(kVmmFd)) {
      if (!stay) return 0;
      fds[0].fd = -1;
    }
    if (fds[1].revents == 0) continue;
    const auto connection = msb::AcceptUnix(kControlFd, msb::Blocking::kYes);
    if (connection.ok()) Echo(connection->get());
  }
}
