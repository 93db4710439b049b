// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-net --spec-fd N: the network of one sandbox. N gives a frame (base/frames.h) of a
// msb.net.v1.NetSpec, which names every other descriptor. Ends when the machine hangs up.

#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/version.h"
#include "jailer/policy/filter.h"
#include "msb/net/v1/net.pb.h"
#include "network/control/control_server.h"
#include "network/control/spec.h"
#include "network/flow/stack.h"
#include "network/link/frame_stream.h"

namespace msb::net {
namespace {

absl::StatusOr<msb::net::v1::NetSpec> ReadSpec(int fd) {
  const UniqueFd owned(fd);
  MSB_ASSIGN_OR_RETURN(const auto frame, ReadFrame(fd, absl::InfiniteFuture()));
  msb::net::v1::NetSpec spec;
  if (!frame.has_value() || !spec.ParseFromString(*frame)) {
    return MakeError(Reason::kFrameMalformed, "no NetSpec at the descriptor");
  }
  return spec;
}

absl::Status SetNonBlocking(int fd) {
  return status_internal::ToStatus(
      Syscall("fcntl", [&] { return ::fcntl(fd, F_SETFL, O_NONBLOCK); }));
}

// A descriptor for each flow, and some: up to what this user may have.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

absl::Status Run(int spec_fd) {
  MSB_ASSIGN_OR_RETURN(const msb::net::v1::NetSpec spec, ReadSpec(spec_fd));
  UniqueFd link(spec.link_fd());
  UniqueFd control(spec.control_fd());
  MSB_RETURN_IF_ERROR(SetNonBlocking(link.get()));
  MSB_RETURN_IF_ERROR(SetNonBlocking(control.get()));
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create());
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment,
                       MakeEnvironment(*loop, spec));
  absl::Status ended;
  Stack* receiver = nullptr;
  environment->link = std::make_unique<FrameStream>(
      *loop, std::move(link),
      FrameStream::Handlers{.on_frame = [&](Bytes frame) { receiver->OnFrame(frame); },
                            .on_batch_end = [&] { receiver->OnBatchEnd(); },
                            .on_drained = [&] { receiver->OnDrained(); },
                            .on_end =
                                [&](absl::Status why) {
                                  ended = std::move(why);
                                  loop->Stop();
                                }});
  Stack stack(*environment);
  receiver = &stack;
  ControlServer server(*loop, std::move(control), stack, environment->audit);
  MSB_RETURN_IF_ERROR(server.Start());
  MSB_RETURN_IF_ERROR(environment->link->Start());
  MSB_LOG(kInfo) << "msb-net " << Version() << " serves sandbox " << EscapeForLog(spec.id());
  MSB_RETURN_IF_ERROR(ConfineThread(SeccompPolicy::kNet));
  MSB_RETURN_IF_ERROR(loop->Run());
  return ended;
}

std::optional<int> SpecDescriptor(int argc, char** argv) {
  int fd = -1;
  if (argc != 3 || std::string(argv[1]) != "--spec-fd" || !absl::SimpleAtoi(argv[2], &fd) ||
      fd < 3) {
    return std::nullopt;
  }
  return fd;
}

}  // namespace
}  // namespace msb::net

int main(int argc, char** argv) {
  msb::InitLog("msb-net", msb::LogLevel::kInfo);
  const std::optional<int> spec_fd = msb::net::SpecDescriptor(argc, argv);
  if (!spec_fd.has_value()) {
    MSB_LOG(kError) << "usage: msb-net --spec-fd N";
    return 64;
  }
  std::signal(SIGPIPE, SIG_IGN);
  msb::net::RaiseDescriptorLimit();
  const absl::Status ended = msb::net::Run(*spec_fd);
  // The end of the machine is the end of its network, and no error.
  if (absl::IsUnavailable(ended)) {
    MSB_LOG(kInfo) << "ended: " << ended.message();
    return 0;
  }
  MSB_LOG(kError) << "ended: " << msb::EscapeForLog(ended.message());
  return 1;
}
