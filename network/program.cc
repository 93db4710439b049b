// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/program.h"

#include <fcntl.h>

#include <csignal>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/syscall.h"

namespace msb::net {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 64;
constexpr int kFirstDescriptor = 3;  // behind the standard ones

std::optional<int> SpecDescriptor(int argc, char** argv) {
  int fd = -1;
  if (argc != 3 || absl::string_view(argv[1]) != "--spec-fd" || !absl::SimpleAtoi(argv[2], &fd) ||
      fd < kFirstDescriptor) {
    return std::nullopt;
  }
  return fd;
}

}  // namespace

int RunProgram(const Program& program, int argc, char** argv) {
  InitLog(program.name, LogLevel::kInfo);
  const std::optional<int> spec_fd = SpecDescriptor(argc, argv);
  if (!spec_fd.has_value()) {
    MSB_LOG(kError) << "usage: " << program.name << " --spec-fd N";
    return kExitUsage;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const absl::Status ended = program.run(UniqueFd(*spec_fd));
  if (ended.ok()) {
    MSB_LOG(kInfo) << "ended: the machine has hung up";
    return 0;
  }
  MSB_LOG(kError) << "ended: " << EscapeForLog(ended.message());
  return kExitFailure;
}

absl::StatusOr<std::string> ReadSpecFrame(const UniqueFd& fd) {
  MSB_ASSIGN_OR_RETURN(auto frame, ReadFrame(fd.get(), absl::InfiniteFuture()));
  if (frame.has_value()) return *std::move(frame);
  return MakeError(Reason::kFrameMalformed, "nothing at the descriptor of the specification");
}

absl::Status SetNonBlocking(const UniqueFd& fd) {
  return Syscall("fcntl", [&] { return ::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }).status();
}

}  // namespace msb::net
