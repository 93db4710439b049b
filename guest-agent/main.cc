// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-agent: pid 1 of the guest.
//
// As pid 1 it takes its parameters from the kernel's command line or, behind a boot snapshot, from
// the host (boot/README.md). As any other process it serves the same protocol on a Unix socket, for
// tests:
//
//   msb-agent --listen-unix PATH

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"
#include "base/version.h"
#include "guest-agent/agent.h"
#include "guest-agent/boot/boot_marks.h"
#include "guest-agent/boot/boot_snapshot.h"
#include "guest-agent/boot/guest_stats.h"
#include "guest-agent/boot/init_guest.h"
#include "guest-agent/boot/network.h"
#include "guest-agent/boot/parameters.h"
#include "guest-agent/boot/root.h"
#include "guest-agent/boot/system_files.h"
#include "guest-agent/console.h"
#include "guest-agent/link/vsock.h"

namespace {

using msb::agent::v1::BootMark;

constexpr char kCgroupDirectory[] = "/sys/fs/cgroup/msb";
constexpr int kBacklog = 1024;
// Of descriptors, for the agent and, unless they ask for others, its commands.
constexpr rlim_t kSoftDescriptors = 65536;
constexpr rlim_t kHardDescriptors = 1048576;
constexpr mode_t kUmask = 0022;

void PrepareProcess() {
  msb::BlockSignals();
  ::umask(kUmask);
  const rlimit descriptors{.rlim_cur = kSoftDescriptors, .rlim_max = kHardDescriptors};
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
}

// Of a guest that goes on from a boot snapshot: the host has them, and the boot's marks begin here.
absl::StatusOr<msb::BootParameters> GoOnFromSnapshot(msb::BootMarks& marks) {
  MSB_ASSIGN_OR_RETURN(msb::LateDevices devices, msb::LateDevices::Open());
  MSB_RETURN_IF_ERROR(devices.AwaitFirst());
  marks.Clear();
  marks.Connect();
  MSB_ASSIGN_OR_RETURN(msb::HostBoot boot, msb::ReceiveBootParameters());
  MSB_RETURN_IF_ERROR(devices.Bind(boot.devices));
  std::move(devices).BindRestLater();
  // From here on the snapshot has done its part: what fails now is the image's or the disk's.
  marks.Add(BootMark::STAGE_AGENT_STARTED);
  marks.TrySendNow();
  return boot.parameters;
}

// First all that is the same in every guest: a boot snapshot holds it.
absl::Status BootAndServe(msb::BootMarks& marks) {
  MSB_RETURN_IF_ERROR(msb::MountSystem());
  MSB_ASSIGN_OR_RETURN(msb::BootParameters parameters, msb::ReadBootParameters());
  const bool snapshot = parameters.source == msb::BootParameters::Source::kHost;
  if (!snapshot) marks.Connect();  // the round trip passes meanwhile
  msb::SetKernelSettings();
  MSB_RETURN_IF_ERROR(msb::BringUpLoopback());
  msb::InitGuest guest(marks);
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<msb::Agent> agent,
                       msb::Agent::Create(guest, {.cgroup_directory = kCgroupDirectory}));
  guest.SetLoop(agent->loop(), [&] { agent->server().RefuseOperations(); });
  agent->on_no_children = [&] { guest.OnNoChildren(); };
  agent->on_signal = [&](int) { guest.BeginShutdown({.grace = msb::kDefaultGrace}); };
  if (snapshot) {
    MSB_ASSIGN_OR_RETURN(parameters, GoOnFromSnapshot(marks));
  }

  MSB_ASSIGN_OR_RETURN(msb::UniqueFd writable_layer, msb::SwitchToImage(parameters));
  guest.SetWritableLayer(std::move(writable_layer));
  marks.Add(BootMark::STAGE_ROOT_MOUNTED);
  MSB_RETURN_IF_ERROR(msb::SetUpNetwork(parameters));
  msb::SetHostname(parameters);
  msb::MendSystemFiles("/etc", parameters);
  MSB_ASSIGN_OR_RETURN(msb::UniqueFd listener, msb::ListenVsock(msb::agent::v1::WIRE_AGENT_PORT));
  MSB_RETURN_IF_ERROR(agent->server().Listen(std::move(listener)));
  marks.Add(BootMark::STAGE_AGENT_READY);
  marks.SendFrom(agent->loop());
  return agent->Run();
}

// Does not return: a pid 1 that ends takes the kernel down with it.
[[noreturn]] void RunAsInit() {
  msb::BootMarks marks;
  marks.Add(BootMark::STAGE_AGENT_STARTED);
  PrepareProcess();
  const absl::Status ended = BootAndServe(marks);
  msb::WriteConsole(absl::StrCat("cannot go on: ", ended.message()));
  marks.Add(BootMark::STAGE_FAILED, ended.message());
  marks.SendNow(msb::kLastMarkWait);
  msb::ResetMachine();
}

// A process among others: leaves the machine alone.
class OrdinaryGuest final : public msb::Guest {
 public:
  absl::Status SetClock(uint64_t) override { return absl::OkStatus(); }
  msb::agent::v1::GuestStats Stats() override { return msb::CollectGuestStats(); }
  void BeginShutdown(const msb::ShutdownRequest&) override { loop->Stop(); }

  msb::EventLoop* loop = nullptr;
};

absl::Status ServeUnix(const std::string& path) {
  PrepareProcess();
  OrdinaryGuest guest;
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<msb::Agent> agent, msb::Agent::Create(guest, {}));
  guest.loop = &agent->loop();
  agent->on_signal = [&](int) { agent->loop().Stop(); };
  MSB_ASSIGN_OR_RETURN(msb::UniqueFd listener, msb::ListenUnix(path, kBacklog));
  MSB_RETURN_IF_ERROR(agent->server().Listen(std::move(listener)));
  return agent->Run();
}

}  // namespace

int main(int argc, char** argv) {
  if (::getpid() == 1) RunAsInit();
  if (argc == 2 && absl::string_view(argv[1]) == "--version") {
    std::printf("msb-agent %s\n", std::string(msb::Version()).c_str());
    return 0;
  }
  if (argc == 3 && absl::string_view(argv[1]) == "--listen-unix") {
    const absl::Status served = ServeUnix(argv[2]);
    if (served.ok()) return 0;
    msb::WriteConsole(served.message());
    return 1;
  }
  std::fprintf(stderr, "usage: msb-agent --listen-unix PATH | --version\n");
  return 2;
}
