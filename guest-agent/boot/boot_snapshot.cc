// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/boot_snapshot.h"

#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/wait_for.h"
#include "guest-agent/boot/guest_stats.h"
#include "guest-agent/console.h"
#include "guest-agent/errno_status.h"
#include "guest-agent/link/vsock.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {
namespace {

// The VMM looks for this line (vmm/machine/boot_snapshot.h).
constexpr char kWaiting[] = "waits for its devices";
constexpr char kBind[] = "/sys/bus/platform/drivers/virtio-mmio/bind";
// The host answers from memory.
constexpr absl::Duration kConfigurationTimeout = absl::Seconds(30);
// When the first command of most sandboxes has ended.
constexpr timespec kUntilTheRest{.tv_sec = 1, .tv_nsec = 0};
constexpr size_t kMaxConfigurationBytes = 64 * 1024;
constexpr size_t kMaxEntropyBytes = 256;

absl::Status Failed(absl::string_view what, int error) {
  return ErrnoError(Reason::kSandboxStartFailed, what, error);
}

absl::StatusOr<agent::v1::BootConfiguration> AskHost() {
  MSB_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectToHost(agent::v1::WIRE_BOOT_PORT));
  const absl::Time deadline = absl::Now() + kConfigurationTimeout;
  if (!WaitFor(socket.get(), POLLIN, deadline).ok()) {
    return Failed("the host does not say what to boot", ETIMEDOUT);
  }
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> frame,
                       ReadFrame(socket.get(), deadline, kMaxConfigurationBytes));
  agent::v1::BootConfiguration configuration;
  if (!frame.has_value() || !configuration.ParseFromString(*frame)) {
    return Failed("what the host says of the boot", EPROTO);
  }
  return configuration;
}

// Credited, and then taken over at once: the kernel would go on with the snapshot's state for up to
// a minute.
absl::Status SeedGenerator(const std::string& entropy) {
  if (entropy.empty() || entropy.size() > kMaxEntropyBytes) {
    return Failed("the host's entropy", EPROTO);
  }
  // The structure, and its bytes behind it.
  alignas(rand_pool_info) char seed[sizeof(rand_pool_info) + kMaxEntropyBytes] = {};
  rand_pool_info info{};
  info.entropy_count = static_cast<int>(entropy.size() * 8);
  info.buf_size = static_cast<int>(entropy.size());
  std::memcpy(seed, &info, sizeof(info));
  entropy.copy(seed + sizeof(info), kMaxEntropyBytes);
  const UniqueFd device(::open("/dev/urandom", O_WRONLY | O_CLOEXEC));
  if (!device.valid() || ::ioctl(device.get(), RNDADDENTROPY, seed) != 0 ||
      ::ioctl(device.get(), RNDRESEEDCRNG) != 0) {
    return Failed("seed the kernel's generator", errno);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LateDevices> LateDevices::Open() {
  UniqueFd bind(::open(kBind, O_WRONLY | O_CLOEXEC));
  if (!bind.valid()) return Failed(kBind, errno);
  return LateDevices(std::move(bind));
}

// False where the next place is empty (yet), or there is none: the kernel looked at all of them
// when it booted, and found them so.
absl::StatusOr<bool> LateDevices::BindNext() {
  const std::string name = absl::StrCat("virtio-mmio.", next_);
  if (::write(bind_.get(), name.data(), name.size()) == static_cast<ssize_t>(name.size())) {
    ++next_;
    return true;
  }
  if (errno == ENODEV) return false;
  return Failed(absl::StrCat("the device ", name), errno);
}

absl::Status LateDevices::AwaitFirst() {
  WriteConsole(kWaiting);
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool bound, BindNext());
    if (bound) return absl::OkStatus();
    // Nothing tells: an empty place has no interrupt. Without sleep, so that whoever goes on from
    // here looks at once, and not at the next tick; the guest that is saved does not wait long.
    ::sched_yield();
  }
}

absl::Status LateDevices::Bind(int count) {
  while (next_ < count) {
    MSB_ASSIGN_OR_RETURN(const bool bound, BindNext());
    if (!bound) return Failed(absl::StrCat("the machine's place ", next_), ENODEV);
  }
  return absl::OkStatus();
}

void LateDevices::BindRestLater() && {
  std::thread([devices = std::move(*this)]() mutable {
    ::nanosleep(&kUntilTheRest, nullptr);
    absl::StatusOr<bool> bound = true;
    while (bound.ok() && *bound) bound = devices.BindNext();
    if (!bound.ok()) WriteConsole(bound.status().message());
  }).detach();
}

absl::StatusOr<HostBoot> ReceiveBootParameters() {
  MSB_ASSIGN_OR_RETURN(const agent::v1::BootConfiguration configuration, AskHost());
  MSB_RETURN_IF_ERROR(SeedGenerator(configuration.entropy()));
  MSB_RETURN_IF_ERROR(SetRealtimeClock(configuration.realtime_ns()));
  HostBoot boot;
  MSB_ASSIGN_OR_RETURN(boot.parameters, ParseBootParameters(configuration.command_line()));
  boot.devices = static_cast<int>(configuration.boot_devices());
  return boot;
}

}  // namespace msb
