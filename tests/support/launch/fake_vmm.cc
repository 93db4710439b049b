// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stands in for msb-vmm in the launcher's tests: takes its spec, says on stdout (its log) what it
// is, writes to its console and answers Status and Stop on its control socket. Words of the spec's
// command line change what it does:
//
//   fake.exit=N       ends at once with that code
//   fake.hog=MIB      touches that much memory before it serves
//   fake.children=N   has so many children, which wait for ever
//   fake.companions=N says "hello" to so many companions, and what they say

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/unix_socket.h"
#include "msb/vmm/v1/control.pb.h"
#include "msb/vmm/v1/vm_spec.pb.h"

namespace {

namespace pb = msb::vmm::v1;

constexpr absl::string_view kSpecFlag = "--spec-fd";
constexpr int kHighestFd = 1024;
constexpr int kFirstCompanionFd = 48;

std::optional<int> Word(const pb::VmSpec& spec, absl::string_view name) {
  for (absl::string_view word : absl::StrSplit(spec.command_line(), ' ')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(word, absl::MaxSplits('=', 1));
    int value = 0;
    if (pair.first == name && absl::SimpleAtoi(pair.second, &value)) return value;
  }
  return std::nullopt;
}

void Introduce(const pb::VmSpec& spec) {
  std::printf("id=%s uid=%d gid=%d pid=%d fds=", spec.id().c_str(), ::getuid(), ::getgid(),
              ::getpid());
  for (int fd = 0; fd < kHighestFd; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) std::printf("%d,", fd);
  }
  std::printf("\n");
  std::fflush(stdout);
  const std::string console = "console of " + spec.id() + "\n";
  [[maybe_unused]] auto written = ::write(spec.console().fd(), console.data(), console.size());
}

void Hog(int mib) {
  for (int i = 0; i < mib; ++i) std::memset(std::malloc(1 << 20), 1, 1 << 20);
}

void HaveChildren(int count) {
  for (int i = 0; i < count; ++i) {
    if (::fork() == 0) {
      while (true) ::pause();
    }
  }
}

void Greet(int companions) {
  for (int i = 0; i < companions; ++i) {
    const int fd = kFirstCompanionFd + i;
    char text[6] = "hello";
    const bool sent = ::write(fd, text, 5) == 5;
    std::memset(text, 0, sizeof(text));
    const bool got = ::read(fd, text, 5) == 5;
    std::printf("companion %d: %s\n", i, sent && got ? text : "gone");
  }
  std::fflush(stdout);
}

void WriteExitEvent(const pb::VmSpec& spec) {
  pb::VmEvent event;
  event.set_kind(pb::VmEvent::KIND_ENDED);
  event.set_reason(static_cast<int>(msb::Reason::kStoppedByRequest));
  std::string frame;
  msb::AppendFrame(event.SerializeAsString(), frame);
  [[maybe_unused]] auto written = ::write(spec.exit_event_fd(), frame.data(), frame.size());
}

// Serves one connection to its end; true when it asked for the end of the machine.
bool Serve(const pb::VmSpec& spec, int connection) {
  while (true) {
    const auto frame = msb::ReadFrame(connection, absl::InfiniteFuture());
    if (!frame.ok() || !frame->has_value()) return false;
    pb::ControlRequest request;
    if (!request.ParseFromString(**frame)) return false;
    pb::ControlResponse response;
    response.set_id(request.id());
    const bool stop = request.has_stop();
    if (stop) {
      WriteExitEvent(spec);
      response.mutable_ok();
    } else {
      response.mutable_status()->set_state(pb::VM_STATE_RUNNING);
      response.mutable_status()->set_memory_mib(spec.memory_mib());
    }
    if (!msb::WriteFrame(connection, response.SerializeAsString(), absl::InfiniteFuture()).ok()) {
      return false;
    }
    if (stop) return true;
  }
}

int Run(const pb::VmSpec& spec) {
  Introduce(spec);
  if (const auto code = Word(spec, "fake.exit")) return *code;
  if (const auto mib = Word(spec, "fake.hog")) Hog(*mib);
  if (const auto count = Word(spec, "fake.children")) HaveChildren(*count);
  if (const auto count = Word(spec, "fake.companions")) Greet(*count);
  while (true) {
    pollfd listener{.fd = spec.control_fd(), .events = POLLIN, .revents = 0};
    ::poll(&listener, 1, -1);
    const auto connection = msb::AcceptUnix(spec.control_fd(), msb::Blocking::kYes);
    if (connection.ok() && Serve(spec, connection->get())) return 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  int spec_fd = -1;
  if (argc != 3 || argv[1] != kSpecFlag || !absl::SimpleAtoi(argv[2], &spec_fd)) return 2;
  const auto frame = msb::ReadFrame(spec_fd, absl::InfiniteFuture());
  pb::VmSpec spec;
  if (!frame.ok() || !frame->has_value() || !spec.ParseFromString(**frame)) return 3;
  return Run(spec);
}
