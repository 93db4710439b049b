// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/config/settings.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/error.h"
#include "supervisor/config/sections.h"

namespace msb {
namespace {

constexpr uint32_t kMaxDiskMib = 16u << 20;

std::vector<Setting> DaemonSettings() {
  return {
      {"daemon", "socket", "", PathSetting{MSB_FIELD(daemon.socket)},
       "Unix socket of the API. Empty: `msbd.sock` in the runtime directory. Everybody may "
       "connect; "
       "root, the daemon's user and members of `socket_group` are served."},
      {"daemon", "socket_group", "msb", TextSetting{MSB_FIELD(daemon.socket_group), true},
       "Group whose members may use the daemon. Empty: root and the daemon's user alone."},
      {"daemon", "tcp_address", "127.0.0.1:5556", TextSetting{MSB_FIELD(daemon.tcp_address), true},
       "Loopback address and port of the API for callers that send the token, or empty for none. "
       "An address that other hosts reach is refused: the connection is not encrypted."},
      {"daemon", "token_file", "/etc/microsandbox/token", PathSetting{MSB_FIELD(daemon.token_file)},
       "Bearer token for TCP callers, made at the first start; readable by the daemon's user and "
       "`socket_group`."},
      {"daemon", "runtime_directory", "/run/microsandbox",
       PathSetting{MSB_FIELD(daemon.runtime_directory)}, "Sockets and logs of running sandboxes."},
      {"daemon", "data_directory", "/var/lib/microsandbox",
       PathSetting{MSB_FIELD(daemon.data_directory)}, "Database and disks. One daemon at a time."},
      {"daemon", "assets_directory", "/usr/share/microsandbox",
       PathSetting{MSB_FIELD(daemon.assets_directory)},
       "`vmlinux`, `initramfs.cpio`, `disks/`, `images/`, `qemu/`."},
      {"daemon", "libexec_directory", "/usr/libexec/microsandbox",
       PathSetting{MSB_FIELD(daemon.libexec_directory)},
       "Where `msb-vmm`, `msb-jailer`, `msb-net`, `msb-secrets`, `msb-fs` and `msb-image` are."},
      {"daemon", "vmm", "", PathSetting{MSB_FIELD(daemon.vmm)},
       "The VMM's program. Empty: `msb-vmm` in the libexec directory."},
      {"daemon", "jailer", "", PathSetting{MSB_FIELD(daemon.jailer)},
       "The jailer's program. Empty: `msb-jailer` in the libexec directory."},
      {"daemon", "net", "", PathSetting{MSB_FIELD(daemon.net)},
       "The network's program. Empty: `msb-net` in the libexec directory."},
      {"daemon", "image", "", PathSetting{MSB_FIELD(daemon.image)},
       "The program that fetches and unpacks images. Empty: `msb-image` in the libexec directory."},
      {"daemon", "fs", "", PathSetting{MSB_FIELD(daemon.fs)},
       "The mounts' program. Empty: `msb-fs` in the libexec directory."},
      {"daemon", "secrets", "", PathSetting{MSB_FIELD(daemon.secrets)},
       "The program that holds secrets. Empty: `msb-secrets` in the libexec directory."},
      {"daemon", "log_level", "info",
       ChoiceSetting{MSB_FIELD(daemon.log_level), {"debug", "info", "warning", "error"}},
       "Lowest level that is written to stderr."},
      {"daemon", "workers", int64_t{4}, NumberSetting{MSB_FIELD(daemon.workers), 1, 64},
       "Threads for what blocks: copying disks, starting and clearing up VMMs."},
      {"daemon", "shutdown_grace", "2s",
       DurationSetting{MSB_FIELD(daemon.shutdown_grace), absl::ZeroDuration(), absl::Minutes(5)},
       "How long calls under way may take to end when the daemon ends. Sandboxes go on."},
  };
}

std::vector<Setting> SandboxSettings() {
  return {
      {"sandbox", "image", "default", TextSetting{MSB_FIELD(sandbox.image)},
       "Image of a sandbox that names none."},
      {"sandbox", "engine", "auto",
       ChoiceSetting{MSB_FIELD(sandbox.engine), {"auto", "kvm", "qemu"}},
       "Engine of a sandbox that names none. `auto` measures this host once at each start of the "
       "daemon."},
      {"sandbox", "vcpus", int64_t{1}, NumberSetting{MSB_FIELD(sandbox.vcpus), 1, 32},
       "Virtual CPUs."},
      {"sandbox", "memory_mib", int64_t{512},
       NumberSetting{MSB_FIELD(sandbox.memory_mib), 64, kMaxMemoryMib},
       "Memory of the guest, MiB."},
      {"sandbox", "disk_mib", int64_t{4096},
       NumberSetting{MSB_FIELD(sandbox.disk_mib), 16, kMaxDiskMib},
       "Size of the writable layer, MiB. Takes space on the host as it fills."},
      {"sandbox", "cpu_milli", int64_t{0}, NumberSetting{MSB_FIELD(sandbox.cpu_milli), 0, 32000},
       "CPU time per second, in thousandths of a CPU. 0: as many CPUs as there are virtual ones."},
      {"sandbox", "idle_timeout", "0",
       DurationSetting{MSB_FIELD(sandbox.idle_timeout), absl::ZeroDuration(), kLongest},
       "Stop a sandbox that nothing has used for this long. 0: never."},
      {"sandbox", "lifetime", "0",
       DurationSetting{MSB_FIELD(sandbox.lifetime), absl::ZeroDuration(), kLongest},
       "Stop a sandbox this long after its start. 0: never."},
      {"sandbox", "exec_timeout", "0",
       DurationSetting{MSB_FIELD(sandbox.exec_timeout), absl::ZeroDuration(), kLongest},
       "Kill a command that has run for this long. 0: never."},
      {"sandbox", "stop_grace", "5s",
       DurationSetting{MSB_FIELD(sandbox.stop_grace), absl::ZeroDuration(), absl::Hours(1)},
       "Between SIGTERM, or the image's stop signal, and SIGKILL for the guest's processes at a "
       "stop."},
      {"sandbox", "stop_margin", "15s",
       DurationSetting{MSB_FIELD(sandbox.stop_margin), absl::Seconds(1), absl::Hours(1)},
       "What a guest may take beyond the grace to sync and power off, before its VMM is killed."},
      {"sandbox", "start_timeout", "60s",
       DurationSetting{MSB_FIELD(sandbox.start_timeout), absl::Seconds(1), absl::Hours(1)},
       "From the call to the agent's first answer."},
  };
}

std::vector<Setting> NetworkSettings() {
  return {
      {"network", "preset", "public",
       ChoiceSetting{MSB_FIELD(network.preset), {"none", "public", "all"}},
       "What a sandbox that says nothing may reach: nothing, the Internet without private and host "
       "addresses, or everything (docs/network.md)."},
      {"network", "ca_store", "/etc/ssl/certs/ca-certificates.crt",
       PathSetting{MSB_FIELD(network.ca_store)},
       "PEM file of the authorities that vouch for hosts which secrets go to (docs/secrets.md)."},
      {"network", "mtu", int64_t{65520}, NumberSetting{MSB_FIELD(network.mtu), 1280, 65520},
       "Of the guest's network card. Large is fast: nothing of it leaves the host."},
      {"network", "max_flows", int64_t{8192},
       NumberSetting{MSB_FIELD(network.max_flows), 16, 60000},
       "TCP connections, UDP flows and ids of echo requests of one sandbox at the same time. Each "
       "is a "
       "descriptor of `msb-net`; cut to the daemon's own hard limit of open files where the jailer "
       "may not raise "
       "that."},
      {"network", "max_connecting", int64_t{1024},
       NumberSetting{MSB_FIELD(network.max_connecting), 1, 60000},
       "Of those, TCP connections that are not established yet: the bound of a SYN flood."},
      {"network", "tcp_idle", "2h",
       DurationSetting{MSB_FIELD(network.tcp_idle), absl::Seconds(1), kLongest},
       "A TCP connection on which nothing was sent for so long is reset."},
      {"network", "udp_idle", "2m",
       DurationSetting{MSB_FIELD(network.udp_idle), absl::Seconds(1), kLongest},
       "A UDP flow on which nothing was sent for so long is forgotten."},
      {"network", "max_lookups", int64_t{512},
       NumberSetting{MSB_FIELD(network.max_lookups), 1, 16384},
       "Names of one sandbox that wait for a name server at the same time. A further one fails at "
       "once."},
      {"network", "max_dns_connections", int64_t{64},
       NumberSetting{MSB_FIELD(network.max_dns_connections), 1, 16384},
       "Connections of one sandbox for DNS over TCP."},
      {"network", "max_names", int64_t{8192},
       NumberSetting{MSB_FIELD(network.max_names), 64, 1u << 18},
       "Addresses of names that were given out to one sandbox and are remembered, so that rules "
       "with names hold for them; the oldest are forgotten. Some 500 bytes of `memory_mib` each."},
      {"network", "max_names_of_address", int64_t{32},
       NumberSetting{MSB_FIELD(network.max_names_of_address), 1, 4096},
       "Names that one address may have among these: many hosts share those of a CDN."},
      {"network", "max_members", int64_t{256},
       NumberSetting{MSB_FIELD(network.max_members), 1, 16384},
       "Others that one sandbox may reach in its private networks."},
      {"network", "max_ports", int64_t{128}, NumberSetting{MSB_FIELD(network.max_ports), 0, 16384},
       "Published ports of one sandbox."},
      {"network", "kib_per_second_up", int64_t{0},
       NumberSetting{MSB_FIELD(network.kib_per_second_up), 0, UINT32_MAX},
       "What one sandbox may send, KiB per second. 0: no limit."},
      {"network", "kib_per_second_down", int64_t{0},
       NumberSetting{MSB_FIELD(network.kib_per_second_down), 0, UINT32_MAX},
       "What one sandbox may receive, KiB per second. 0: no limit."},
      {"network", "packets_per_second", int64_t{0},
       NumberSetting{MSB_FIELD(network.packets_per_second), 0, UINT32_MAX},
       "Packets that one sandbox may send per second. 0: no limit."},
      {"network", "memory_mib", int64_t{512},
       NumberSetting{MSB_FIELD(network.memory_mib), 32, kMaxMemoryMib},
       "Memory of a sandbox's `msb-net`, MiB, with that of its sockets."},
      {"network", "cpu_milli", int64_t{1000}, NumberSetting{MSB_FIELD(network.cpu_milli), 10, 1000},
       "CPU time per second of that process, in thousandths of a CPU. It has one thread."},
  };
}

std::vector<Setting> SecretSettings() {
  return {
      {"secrets", "max_connections", int64_t{1024},
       NumberSetting{MSB_FIELD(secrets.max_connections), 1, 16384},
       "Connections of one sandbox to hosts that its secrets go to, at the same time. A further "
       "one is reset."},
      {"secrets", "max_head_kib", int64_t{64},
       NumberSetting{MSB_FIELD(secrets.max_head_kib), 1, 1024},
       "Of a request to such a host, KiB: its first line and its header fields. A larger one is "
       "refused (400)."},
      {"secrets", "max_body_kib", int64_t{256},
       NumberSetting{MSB_FIELD(secrets.max_body_kib), 0, 1u << 18},
       "A text body with a `Content-Length` is held until it is whole, KiB, and its placeholders "
       "replaced. A longer one goes out as it is."},
      {"secrets", "max_values_kib", int64_t{1024},
       NumberSetting{MSB_FIELD(secrets.max_values_kib), 1, 1u << 18},
       "What the values in one request take up together, KiB, as they are spelled there. A further "
       "placeholder goes out as it is."},
      {"secrets", "handshake_timeout", "30s",
       DurationSetting{MSB_FIELD(secrets.handshake_timeout), absl::Milliseconds(100),
                       absl::Minutes(10)},
       "For TLS with the guest and with the host together."},
      {"secrets", "memory_mib", int64_t{512},
       NumberSetting{MSB_FIELD(secrets.memory_mib), 32, kMaxMemoryMib},
       "Memory of a sandbox's `msb-secrets`, MiB: what is held of heads and bodies counts, and "
       "some 600 KiB for a connection whose other side does not take what comes."},
      {"secrets", "cpu_milli", int64_t{1000}, NumberSetting{MSB_FIELD(secrets.cpu_milli), 10, 1000},
       "CPU time per second of that process, in thousandths of a CPU. It has one thread."},
  };
}

std::vector<Setting> MountSettings() {
  return {
      {"mounts", "host", "socket", ChoiceSetting{MSB_FIELD(mounts.host), {"none", "socket", "all"}},
       "Who may mount directories and files of the host (docs/mounts.md): nobody, callers on the "
       "Unix socket, each with its own rights, or callers by token too, whose rights are the "
       "daemon's: `all` makes the token as good as root."},
      {"mounts", "memory_mib", int64_t{384},
       NumberSetting{MSB_FIELD(mounts.memory_mib), 16, kMaxMemoryMib},
       "Memory of the process that serves a sandbox's mounts, MiB, with what the host caches for "
       "it; beside the guest's memory, whose pages count for it where it touches them first."},
      {"mounts", "cpu_milli", int64_t{1000}, NumberSetting{MSB_FIELD(mounts.cpu_milli), 10, 32000},
       "CPU time per second of that process, in thousandths of a CPU."},
      {"mounts", "max_inodes", int64_t{262'144},
       NumberSetting{MSB_FIELD(mounts.max_inodes), 64, 1u << 19},
       "Files and directories of its mounts that one guest's kernel may know at the same time, all "
       "that it has seen until it needs the memory. Each is some 300 bytes of `memory_mib`, and 2 "
       "KiB "
       "more while it is open: all directories are, and the files that were used last."},
      {"mounts", "max_open_files", int64_t{16384},
       NumberSetting{MSB_FIELD(mounts.max_open_files), 16, 1u << 18},
       "Files that one guest may have open in its mounts."},
      {"mounts", "threads", int64_t{4}, NumberSetting{MSB_FIELD(mounts.threads), 1, 16},
       "Slow requests of one guest that are served at once."},
      {"mounts", "quota_mib", int64_t{0}, NumberSetting{MSB_FIELD(mounts.quota_mib), 0, 1u << 30},
       "What a sandbox may add to a writable mount whose creation names no quota, MiB "
       "(docs/mounts.md). 0: as much as the host's file system takes."},
  };
}

std::vector<Setting> LimitSettings() {
  return {
      {"limits", "max_sandboxes", int64_t{1000},
       NumberSetting{MSB_FIELD(limits.max_sandboxes), 1, 16384},
       "Sandboxes that exist, running or not."},
      {"limits", "max_vcpus", int64_t{32}, NumberSetting{MSB_FIELD(limits.max_vcpus), 1, 32},
       "Of one sandbox."},
      {"limits", "max_memory_mib", int64_t{65536},
       NumberSetting{MSB_FIELD(limits.max_memory_mib), 64, kMaxMemoryMib}, "Of one sandbox."},
      {"limits", "max_total_memory_mib", int64_t{0},
       NumberSetting{MSB_FIELD(limits.max_total_memory_mib), 0, UINT32_MAX},
       "Of all sandboxes that are not stopped. 0: no limit."},
      {"limits", "max_disk_mib", int64_t{1} << 20,
       NumberSetting{MSB_FIELD(limits.max_disk_mib), 16, kMaxDiskMib}, "Of one sandbox."},
      {"limits", "max_execs_per_sandbox", int64_t{512},
       NumberSetting{MSB_FIELD(limits.max_execs_per_sandbox), 1, 65536},
       "Commands that run at the same time in one sandbox."},
      {"limits", "max_connections_per_user", int64_t{256},
       NumberSetting{MSB_FIELD(limits.max_connections_per_user), 1, 4096},
       "Connections of one user on the Unix socket. A further one is closed at once."},
      {"limits", "max_calls_per_connection", int64_t{1024},
       NumberSetting{MSB_FIELD(limits.max_calls_per_connection), 1, 65536},
       "Calls that one connection may have under way."},
      {"limits", "exec_ring_kib", int64_t{1024},
       NumberSetting{MSB_FIELD(limits.exec_ring_kib), 4, 65536},
       "Output of a command that is kept in the guest for a client that attaches later, KiB for "
       "each "
       "of stdout and stderr."},
      {"limits", "max_exec_ring_kib", int64_t{16384},
       NumberSetting{MSB_FIELD(limits.max_exec_ring_kib), 4, 65536},
       "The most that a command may ask for."},
      {"limits", "stream_window_kib", int64_t{1024},
       NumberSetting{MSB_FIELD(limits.stream_window_kib), 64, 65536},
       "What the daemon holds of one command's or file's data that its client, or on the way in "
       "its guest, has not taken, KiB, and one frame (512 KiB) more; then the other side waits."},
      {"limits", "console_log_kib", int64_t{1024},
       NumberSetting{MSB_FIELD(limits.console_log_kib), 16, 1u << 20},
       "How much of a guest's console is kept, KiB."},
  };
}

std::vector<Setting> AgentSettings() {
  return {
      {"agent", "connect_timeout", "10s",
       DurationSetting{MSB_FIELD(agent.connect_timeout), absl::Milliseconds(100), absl::Hours(1)},
       "For a new connection to the agent in a guest."},
      {"agent", "request_timeout", "30s",
       DurationSetting{MSB_FIELD(agent.request_timeout), absl::Milliseconds(100), absl::Hours(1)},
       "For the agent's or the VMM's answer to a short request."},
      {"agent", "loss_settle", "3s",
       DurationSetting{MSB_FIELD(agent.loss_settle), absl::ZeroDuration(), absl::Minutes(5)},
       "When a command's connection breaks: how long to wait for the news that its sandbox has "
       "ended "
       "before the client is told that only the connection was lost."},
      {"agent", "warm_connections", int64_t{2},
       NumberSetting{MSB_FIELD(agent.warm_connections), 0, 64},
       "Connections to each running guest that are made in advance."},
      {"agent", "io_threads", int64_t{1}, NumberSetting{MSB_FIELD(agent.io_threads), 1, 64},
       "Threads that carry data between guests and clients."},
  };
}

std::vector<Setting> JailSettings() {
  return {
      {"jail", "cgroup_parent", "microsandbox", TextSetting{MSB_FIELD(jail.cgroup_parent)},
       "Name below each cgroup mount; each sandbox has a cgroup in it. Two daemons on one host "
       "need "
       "two names."},
      {"jail", "cgroups", "required",
       ChoiceSetting{MSB_FIELD(jail.cgroups), {"required", "available"}},
       "`available`: run sandboxes without the limits of a controller that the host lacks."},
      {"jail", "seccomp", "enforced",
       ChoiceSetting{MSB_FIELD(jail.seccomp), {"enforced", "off-for-debugging"}},
       "`off-for-debugging`: let the VMMs and `msb-fs` of sandboxes started from now on make every "
       "system call, for a developer with `strace` at his own host."},
      {"jail", "base_uid", int64_t{1'880'000'000},
       NumberSetting{MSB_FIELD(jail.base_uid), 1, 4'294'000'000},
       "First of 196610 user ids: of 65536 VMMs, of two processes beside each, of image jobs, and "
       "of what makes boot snapshots. Two daemons on one host need two ranges."},
      {"jail", "kvm_overhead_mib", int64_t{64},
       NumberSetting{MSB_FIELD(jail.kvm_overhead_mib), 16, 65536},
       "Memory that a VMM may take beside its guest's, MiB."},
      {"jail", "qemu_overhead_mib", int64_t{384},
       NumberSetting{MSB_FIELD(jail.qemu_overhead_mib), 64, 65536},
       "The same with engine `qemu`, whose translated code counts."},
  };
}

std::vector<Setting> BootSnapshotSettings() {
  return {
      {"boot_snapshots", "max_count", int64_t{8},
       NumberSetting{MSB_FIELD(boot_snapshots.max_count), 0, 1024},
       "Snapshots of booted machines that are kept (docs/boot-snapshots.md), one for each engine, "
       "number of CPUs and size of memory: some 25 MiB of disk each. The least recently used goes. "
       "0: each start boots its kernel."},
      {"boot_snapshots", "delay", "2s",
       DurationSetting{MSB_FIELD(boot_snapshots.delay), absl::ZeroDuration(), absl::Hours(1)},
       "From a start that had to boot to the making of the snapshot for later ones, which takes as "
       "much time of one CPU as that boot."},
  };
}

std::vector<Setting> EventSettings() {
  return {
      {"events", "kept", int64_t{4096}, NumberSetting{MSB_FIELD(events.kept), 16, 1u << 20},
       "Events that a client can ask for after they happened."},
  };
}

absl::Status Wrong(const Setting& setting) {
  return MakeError(Reason::kConfigInvalid,
                   absl::StrCat(setting.section, ".", setting.key, " must be ", RangeOf(setting)));
}

std::string Literal(const SettingValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return absl::StrCat(*number);
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    return list->empty() ? "[]" : absl::StrCat("[\"", absl::StrJoin(*list, "\", \""), "\"]");
  }
  return absl::StrCat("\"", std::get<std::string>(value), "\"");
}

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::string DurationText(absl::Duration duration) {
  return duration == kLongest ? "365 days" : absl::FormatDuration(duration);
}

}  // namespace

absl::Span<const Setting> AllSettings() {
  static const auto& all = *new std::vector<Setting>([] {
    std::vector<Setting> settings;
    for (auto&& part : {DaemonSettings(), SandboxSettings(), NetworkSettings(), SecretSettings(),
                        MountSettings(), LimitSettings(), AgentSettings(), JailSettings(),
                        ImageSettings(), BootSnapshotSettings(), EventSettings()}) {
      settings.insert(settings.end(), part.begin(), part.end());
    }
    return settings;
  }());
  return all;
}

const Setting* FindSetting(absl::string_view section, absl::string_view key) {
  for (const Setting& setting : AllSettings()) {
    if (setting.section == section && setting.key == key) return &setting;
  }
  return nullptr;
}

absl::Status ApplySetting(const Setting& setting, const SettingValue& value, Config& config) {
  const auto* text = std::get_if<std::string>(&value);
  const auto* number = std::get_if<int64_t>(&value);
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  return std::visit(Overloaded{[&](const TextSetting& kind) {
                                 if (!text || (text->empty() && !kind.may_be_empty))
                                   return Wrong(setting);
                                 kind.field(config) = *text;
                                 return absl::OkStatus();
                               },
                               [&](const PathSetting& kind) {
                                 const bool derived =
                                     std::get<std::string>(setting.default_value).empty();
                                 if (!text || (text->empty() ? !derived : text->front() != '/'))
                                   return Wrong(setting);
                                 kind.field(config) = *text;
                                 return absl::OkStatus();
                               },
                               [&](const ChoiceSetting& kind) {
                                 if (!text) return Wrong(setting);
                                 for (const absl::string_view choice : kind.choices) {
                                   if (*text != choice) continue;
                                   kind.field(config) = *text;
                                   return absl::OkStatus();
                                 }
                                 return Wrong(setting);
                               },
                               [&](const ListSetting& kind) {
                                 if (!list) return Wrong(setting);
                                 for (const std::string& word : *list) {
                                   if (!kind.accepts(word)) return Wrong(setting);
                                 }
                                 kind.field(config) = *list;
                                 return absl::OkStatus();
                               },
                               [&](const NumberSetting& kind) {
                                 if (!number || *number < kind.min || *number > kind.max)
                                   return Wrong(setting);
                                 kind.field(config) = static_cast<uint32_t>(*number);
                                 return absl::OkStatus();
                               },
                               [&](const DurationSetting& kind) {
                                 absl::Duration parsed;
                                 if (!text || !absl::ParseDuration(*text, &parsed))
                                   return Wrong(setting);
                                 if (parsed < kind.min || parsed > kind.max) return Wrong(setting);
                                 kind.field(config) = parsed;
                                 return absl::OkStatus();
                               }},
                    setting.kind);
}

std::string RangeOf(const Setting& setting) {
  return std::visit(
      Overloaded{[](const TextSetting& kind) -> std::string {
                   return kind.may_be_empty ? "a string" : "a string that is not empty";
                 },
                 [](const PathSetting&) -> std::string { return "an absolute path"; },
                 [](const ChoiceSetting& kind) -> std::string {
                   return absl::StrCat("one of \"", absl::StrJoin(kind.choices, "\", \""), "\"");
                 },
                 [](const ListSetting& kind) -> std::string {
                   return absl::StrCat("a list of ", kind.item);
                 },
                 [](const NumberSetting& kind) -> std::string {
                   return absl::StrCat("a whole number, ", kind.min, " to ", kind.max);
                 },
                 [](const DurationSetting& kind) -> std::string {
                   return absl::StrCat("a duration such as \"90s\" or \"1h30m\", ",
                                       DurationText(kind.min), " to ", DurationText(kind.max));
                 }},
      setting.kind);
}

Config DefaultConfig() {
  Config config;
  for (const Setting& setting : AllSettings()) {
    MSB_CHECK(ApplySetting(setting, setting.default_value, config).ok());
  }
  return config;
}

std::string PrintSettings(const Config& config) {
  Config copy = config;  // the table's fields are for writing too
  std::string text;
  absl::string_view section;
  for (const Setting& setting : AllSettings()) {
    if (setting.section != section) {
      absl::StrAppend(&text, section.empty() ? "" : "\n", "[", setting.section, "]\n");
      section = setting.section;
    }
    const SettingValue value = std::visit(
        [&](const auto& kind) -> SettingValue {
          auto& field = kind.field(copy);
          using Field = std::decay_t<decltype(field)>;
          if constexpr (std::is_same_v<Field, std::string> ||
                        std::is_same_v<Field, std::vector<std::string>>) {
            return field;
          } else if constexpr (std::is_same_v<Field, absl::Duration>) {
            return absl::FormatDuration(field);
          } else {
            return int64_t{field};
          }
        },
        setting.kind);
    absl::StrAppend(&text, setting.key, " = ", Literal(value), "\n");
  }
  return text;
}

std::string DescribeSettings() {
  std::string text =
      "# Configuration\n\n"
      "`msbd` reads `/etc/microsandbox/config.toml` and then, over it,\n"
      "`$XDG_CONFIG_HOME/microsandbox/config.toml` (`~/.config` when unset); with `--config FILE` "
      "that\n"
      "file alone. Neither needs to exist. An unknown key or a value outside its range is an error "
      "that\n"
      "names file, line and key; `msbd --check-config` tells without starting. A change takes "
      "effect\n"
      "with a restart of the daemon, which running sandboxes survive.\n\n"
      "This file is written by `msbd --describe-config`.\n";
  absl::string_view section;
  for (const Setting& setting : AllSettings()) {
    if (setting.section != section) {
      section = setting.section;
      absl::StrAppend(&text, "\n## [", section, "]\n\n| key | default | value | meaning |\n",
                      "| --- | --- | --- | --- |\n");
    }
    absl::StrAppend(&text, "| `", setting.key, "` | `", Literal(setting.default_value), "` | ",
                    RangeOf(setting), " | ", setting.meaning, " |\n");
  }
  return text;
}

}  // namespace msb
