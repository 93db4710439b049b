// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/boot_snapshot.h"

#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
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
constexpr size_t kMaxConfigurationBytes = 64 * 1024;
constexpr size_t kMaxEntropyBytes = 256;

absl::Status Failed(absl::string_view what, int error) {
  return ErrnoError(Reason::kSandboxStartFailed, what, error);
}

// /sys for as long as it lives; the image's root gets one of its own.
class Sysfs {
 public:
  Sysfs() = default;
  Sysfs(const Sysfs&) = delete;
  Sysfs& operator=(const Sysfs&) = delete;
  ~Sysfs() { ::umount2("/sys", MNT_DETACH); }
  absl::Status Mount() {
    ::mkdir("/sys", 0755);
    if (::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "") == 0) {
      return absl::OkStatus();
    }
    return Failed("mount /sys", errno);
  }
};

// Whether the kernel has taken the device in the machine's place `index`. ENODEV where there is
// none (yet), or no such place: the kernel looked at all of them when it booted, and found them
// empty.
absl::StatusOr<bool> TakeDevice(int bind, int index) {
  const std::string name = absl::StrCat("virtio-mmio.", index);
  if (::write(bind, name.data(), name.size()) == static_cast<ssize_t>(name.size())) return true;
  if (errno == ENODEV) return false;
  return Failed(absl::StrCat("the device ", name), errno);
}

absl::StatusOr<agent::v1::BootConfiguration> AskHost() {
  MSB_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectToHost(agent::v1::WIRE_BOOT_PORT));
  pollfd connected{.fd = socket.get(), .events = POLLIN, .revents = 0};
  if (::poll(&connected, 1, static_cast<int>(absl::ToInt64Milliseconds(kConfigurationTimeout))) <=
      0) {
    return Failed("the host does not say what to boot", ETIMEDOUT);
  }
  MSB_ASSIGN_OR_RETURN(
      const std::optional<std::string> frame,
      ReadFrame(socket.get(), absl::Now() + kConfigurationTimeout, kMaxConfigurationBytes));
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

absl::Status AwaitDevices() {
  Sysfs sysfs;
  MSB_RETURN_IF_ERROR(sysfs.Mount());
  const UniqueFd bind(::open(kBind, O_WRONLY | O_CLOEXEC));
  if (!bind.valid()) return Failed(kBind, errno);
  WriteConsole(kWaiting);
  for (int index = 0; true;) {
    MSB_ASSIGN_OR_RETURN(const bool taken, TakeDevice(bind.get(), index));
    if (taken) {
      ++index;
    } else if (index > 0) {
      return absl::OkStatus();
    } else {
      // Nothing tells: an empty place has no interrupt. Without sleep, so that whoever goes on from
      // here looks at once, and not at the next tick; the guest that is saved does not wait long.
      ::sched_yield();
    }
  }
}

absl::StatusOr<BootParameters> ReceiveBootParameters() {
  MSB_ASSIGN_OR_RETURN(const agent::v1::BootConfiguration configuration, AskHost());
  MSB_RETURN_IF_ERROR(SeedGenerator(configuration.entropy()));
  MSB_RETURN_IF_ERROR(SetRealtimeClock(configuration.realtime_ns()));
  return ParseBootParameters(configuration.command_line());
}

}  // namespace msb
