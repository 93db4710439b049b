// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/boot_service.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include <utility>

#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/devices/virtio/vsock/socket_stream.h"

namespace msb {
namespace {

absl::StatusOr<std::string> FrameOf(std::string command_line, uint32_t boot_devices) {
  agent::v1::BootConfiguration configuration;
  configuration.set_command_line(std::move(command_line));
  configuration.set_boot_devices(boot_devices);
  std::string entropy(BootService::kEntropyBytes, '\0');
  // Up to 256 bytes come whole.
  MSB_RETURN_IF_ERROR(
      Syscall("getrandom", [&] { return ::getrandom(entropy.data(), entropy.size(), 0); }));
  configuration.set_entropy(std::move(entropy));
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  configuration.set_realtime_ns(static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                                static_cast<uint64_t>(now.tv_nsec));
  std::string frame;
  AppendFrame(configuration.SerializeAsString(), frame);
  return frame;
}

}  // namespace

// The frame lies in a socket from now on: nothing is made once the guest runs.
absl::StatusOr<std::unique_ptr<BootService>> BootService::Create(EventLoop& loop,
                                                                 std::string command_line,
                                                                 uint32_t boot_devices) {
  MSB_ASSIGN_OR_RETURN(const std::string frame, FrameOf(std::move(command_line), boot_devices));
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall("socketpair", [&] {
    return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
  }));
  UniqueFd filled(ends[0]);
  UniqueFd guest(ends[1]);
  MSB_ASSIGN_OR_RETURN(const ssize_t sent, Syscall("send the boot configuration", [&] {
                         return ::send(filled.get(), frame.data(), frame.size(), MSG_NOSIGNAL);
                       }));
  if (static_cast<size_t>(sent) != frame.size()) {
    return MakeError(Reason::kHostError, "the boot configuration fits no socket");
  }
  MSB_RETURN_IF_ERROR(Syscall("shutdown", [&] { return ::shutdown(filled.get(), SHUT_WR); }));
  return std::unique_ptr<BootService>(new BootService(loop, std::move(filled), std::move(guest)));
}

std::unique_ptr<HostStream> BootService::Accept(uint32_t guest_port) {
  if (guest_port > kLastAgentPort || !guest_.valid()) return nullptr;
  return std::make_unique<SocketStream>(loop_, std::move(guest_));
}

}  // namespace msb
