// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/vmm_jobs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "supervisor/launch/process.h"
#include "supervisor/sandbox/disk.h"
#include "supervisor/sandbox/file_server.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/network.h"

namespace msb {
namespace {

constexpr unsigned kPrivateMode = 0700;
// The VMM's own limit only matters while no daemon is there to see to it.
constexpr absl::Duration kBootTimeoutMargin = absl::Seconds(5);
// A regular file: it is read at once or not at all.
constexpr absl::Duration kExitEventTimeout = absl::Seconds(1);
constexpr size_t kMaxHostnameBytes = 63;
constexpr size_t kMaxExitEventBytes = 64 * 1024;

EnginePreference PreferenceOf(msb::v1::Engine engine) {
  if (engine == msb::v1::ENGINE_KVM) return EnginePreference::kKvm;
  if (engine == msb::v1::ENGINE_QEMU) return EnginePreference::kQemu;
  return EnginePreference::kAuto;
}

absl::StatusOr<std::string> Asset(const Config& config, absl::string_view name) {
  std::string path = absl::StrCat(config.daemon.assets_directory, "/", name);
  if (::access(path.c_str(), R_OK) == 0) return path;
  return WithReason(Reason::kAssetMissing, "the daemon's assets", absl::ErrnoToStatus(errno, path));
}

// The sandbox's name, as far as it can be a host's: letters, digits and inner hyphens, at most 63.
std::string HostnameOf(absl::string_view name) {
  std::string hostname(name.substr(0, kMaxHostnameBytes));
  std::replace_if(
      hostname.begin(), hostname.end(), [](char c) { return c == '_' || c == '.'; }, '-');
  while (hostname.back() == '-') hostname.pop_back();
  return hostname;
}

std::optional<msb::vmm::v1::VmEvent> ReadExitEvent(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) return std::nullopt;
  const auto frame = ReadFrame(fd.get(), absl::Now() + kExitEventTimeout, kMaxExitEventBytes);
  msb::vmm::v1::VmEvent event;
  if (!frame.ok() || !*frame || !event.ParseFromString(**frame)) return std::nullopt;
  return event;
}

// The sockets go to msb-net, which holds them for as long as it lives.
absl::Status PublishPorts(const SandboxContext& context, const SandboxRecord& record,
                          LaunchOutcome& outcome) {
  const std::string socket =
      PathsOf(context.launcher.Plan(record.id, record.slot), kNetworkCompanion).control_socket;
  for (const msb::v1::PublishedPort& port : record.spec.network().ports()) {
    MSB_ASSIGN_OR_RETURN(const uint32_t bound,
                         PublishOnHost(socket, port, context.config.agent.request_timeout));
    outcome.bound_ports.push_back(bound);
  }
  return absl::OkStatus();
}

// Values go by a socket, never by a descriptor that could be read again.
absl::Status BringSecrets(const SandboxContext& context, const SandboxRecord& record,
                          const SecretValues& values) {
  if (!UsesSecrets(record.spec)) return absl::OkStatus();
  const LaunchPlan plan = context.launcher.Plan(record.id, record.slot);
  const absl::Duration timeout = context.config.agent.request_timeout;
  MSB_RETURN_IF_ERROR(TellSecrets(plan, record.spec.secrets(), values, timeout));
  return ConnectSecrets(plan, timeout);
}

// On an error the VMM may be there.
absl::Status LaunchAndTell(const SandboxContext& context, const SandboxRecord& record,
                           const SecretValues& secrets, const LaunchSpec& spec,
                           LaunchOutcome& outcome) {
  MSB_ASSIGN_OR_RETURN(outcome.vmm, context.launcher.Launch(spec));
  MSB_RETURN_IF_ERROR(BringSecrets(context, record, secrets));
  return PublishPorts(context, record, outcome);
}

uint64_t DiskBytes(const SandboxRecord& record) {
  return uint64_t{record.spec.resources().disk_mib()} << 20;
}

void AppendVolumes(const SandboxContext& context, const SandboxRecord& record, LaunchSpec& spec) {
  for (int i = 0; i < record.spec.mounts_size(); ++i) {
    const msb::v1::Mount& mount = record.spec.mounts(i);
    if (!mount.has_volume() || IsServed(mount)) continue;
    spec.disks.push_back({.id = DiskSerialOf(i),
                          .path = context.data.DiskOfVolume(mount.volume().name()),
                          .read_only = mount.read_only()});
  }
}

}  // namespace

absl::Status MakeSandboxFiles(const SandboxContext& context, const SandboxRecord& record) {
  MSB_RETURN_IF_ERROR(
      context.images.ConfigOf(record.spec.image(), record.spec.image_digest()).status());
  if (NeedsFileServer(record.spec)) {
    MSB_RETURN_IF_ERROR(
        context.launcher.CheckSources(context.launcher.Plan(record.id, record.slot),
                                      FileServerOf(context.config, context.data, record)));
  }
  MSB_RETURN_IF_ERROR(EnsureDirectory(context.data.OfSandbox(record.id), kPrivateMode));
  if (!record.has_disk) return absl::OkStatus();
  return MakeDisk(absl::StrCat(context.config.daemon.assets_directory, "/disks"),
                  context.data.DiskOf(record.id), DiskBytes(record));
}

absl::StatusOr<LaunchOutcome> LaunchVmm(const SandboxContext& context, const SandboxRecord& record,
                                        const SecretValues& secrets, Leftovers leftovers) {
  if (leftovers == Leftovers::kClearFirst) {
    MSB_RETURN_IF_ERROR(context.launcher.CleanUp(context.launcher.Plan(record.id, record.slot)));
  }
  LaunchOutcome outcome;
  MSB_ASSIGN_OR_RETURN(outcome.engine,
                       ChooseEngine(context.engines, PreferenceOf(record.spec.engine())));
  MSB_ASSIGN_OR_RETURN(outcome.image,
                       context.images.ConfigOf(record.spec.image(), record.spec.image_digest()));
  LaunchSpec spec;
  spec.id = record.id;
  spec.slot = record.slot;
  spec.engine = outcome.engine.engine;
  spec.vcpus = record.spec.resources().vcpus();
  spec.memory_mib = record.spec.resources().memory_mib();
  spec.cpu_milli = record.spec.resources().cpu_milli();
  MSB_ASSIGN_OR_RETURN(spec.kernel_path, Asset(context.config, "vmlinux"));
  MSB_ASSIGN_OR_RETURN(spec.initramfs_path, Asset(context.config, "initramfs.cpio"));
  spec.command_line = absl::StrCat("msb.hostname=", HostnameOf(record.spec.name()));
  const std::vector<std::string>& layers = outcome.image.layers;
  spec.disks = {{.id = "rootfs",
                 .path = layers.front(),
                 .read_only = true,
                 .more_paths = {layers.begin() + 1, layers.end()}}};
  if (record.has_disk) {
    const std::string disk = context.data.DiskOf(record.id);
    MSB_RETURN_IF_ERROR(GrowDisk(disk, DiskBytes(record)));
    spec.disks.push_back({.id = "disk", .path = disk, .read_only = false});
  } else {
    // Else the first volume that can be written would be taken for it.
    absl::StrAppend(&spec.command_line, " msb.overlay=tmpfs");
  }
  AppendVolumes(context, record, spec);
  spec.boot_timeout_ms = static_cast<uint32_t>(
      absl::ToInt64Milliseconds(context.config.sandbox.start_timeout + kBootTimeoutMargin));
  spec.console_limit_bytes = uint64_t{context.config.limits.console_log_kib} * 1024;
  AddNetwork(context.config, record.spec, spec);
  AddFileServer(context.config, context.data, record, spec);
  outcome.shape = ShapeOf(spec);
  spec.snapshot = context.snapshots.Find(outcome.shape);
  outcome.from_snapshot = spec.snapshot != nullptr;
  absl::Status launched = LaunchAndTell(context, record, secrets, spec, outcome);
  if (!launched.ok() && spec.snapshot != nullptr) {
    // A machine whose snapshot is broken ends at once, and what serves it, and is being told what
    // to do, ends with it.
    const EndVerdict verdict =
        JudgeEnd(ClearUpVmm(context.launcher, context.launcher.Plan(record.id, record.slot)));
    if (MayBeTheSnapshots(verdict)) context.snapshots.GiveUp(outcome.shape, verdict.detail);
    spec.snapshot = nullptr;
    outcome.from_snapshot = false;
    outcome.bound_ports.clear();
    launched = LaunchAndTell(context, record, secrets, spec, outcome);
  }
  if (launched.ok()) return outcome;
  context.launcher.CleanUp(context.launcher.Plan(record.id, record.slot)).IgnoreError();
  return launched;
}

VmmEnd ClearUpVmm(Launcher& launcher, const LaunchPlan& plan) {
  VmmEnd end;
  // Both go with CleanUp.
  if (const auto usage = launcher.ReadUsage(plan); usage.ok()) {
    end.oom_killed = usage->oom_killed;
  }
  end.exit_event = ReadExitEvent(plan.exit_event);
  const absl::StatusOr<std::optional<int>> cleaned = launcher.CleanUp(plan);
  end.clean_up = cleaned.status();
  if (cleaned.ok()) end.wait_status = *cleaned;
  if (!end.clean_up.ok()) {
    MSB_LOG(kError) << "clearing up " << plan.cgroup << ": " << end.clean_up.message();
  }
  return end;
}

absl::Status RemoveSandboxFiles(const SandboxContext& context, const SandboxRecord& record) {
  const LaunchPlan plan = context.launcher.Plan(record.id, record.slot);
  MSB_RETURN_IF_ERROR(context.launcher.CleanUp(plan));
  MSB_RETURN_IF_ERROR(context.launcher.RemoveLogs(plan));
  return RemoveTree(context.data.OfSandbox(record.id));
}

bool MayBeTheSnapshots(const EndVerdict& verdict) {
  switch (verdict.reason) {
    case Reason::kQemuError:
    case Reason::kStateInvalid:
    case Reason::kKvmError:
    case Reason::kKvmInternalError:
    case Reason::kTripleFault:
    case Reason::kGuestReset:
    case Reason::kVmmDied:
    case Reason::kSandboxStartFailed:
      return verdict.failed;
    default:
      return false;
  }
}

EndVerdict JudgeEnd(const VmmEnd& end) {
  if (end.oom_killed) {
    return {.failed = true,
            .reason = Reason::kVmmOutOfMemory,
            .detail = "the host killed the VMM at its memory limit"};
  }
  if (!end.exit_event) {
    return {.failed = true,
            .reason = Reason::kVmmDied,
            .detail = absl::StrCat("the VMM said nothing, and ", DescribeEnd(end.wait_status))};
  }
  const Reason reason = ReasonFromNumber(end.exit_event->reason());
  return {.failed = reason != Reason::kGuestShutdown,
          .reason = reason == Reason::kUnspecified ? Reason::kVmmDied : reason,
          .detail = EscapeForLog(end.exit_event->detail())};
}

}  // namespace msb
