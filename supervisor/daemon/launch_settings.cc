// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/daemon/launch_settings.h"

#include "absl/strings/str_cat.h"
#include "supervisor/images/digest.h"
#include "supervisor/launch/kvm_finding.h"

namespace msb {
namespace {

constexpr size_t kInstanceBytes = 12;

// Tells this daemon from others on the host: it has its data directory for itself.
std::string InstanceOf(const Config& config) {
  return std::string(HexOf(Sha256(config.daemon.data_directory)).substr(0, kInstanceBytes));
}

}  // namespace

std::string QemuDirectory(const Config& config) {
  return absl::StrCat(config.daemon.assets_directory, "/qemu");
}

LaunchOptions LaunchOptionsOf(const Config& config, const EngineFacts& engines) {
  LaunchOptions options;
  options.jailer_path = config.daemon.jailer;
  options.vmm_path = config.daemon.vmm;
  options.qemu_directory = engines.qemu_problem.empty() ? QemuDirectory(config) : "";
  options.runtime_root = absl::StrCat(config.daemon.runtime_directory, "/sandboxes");
  options.kvm_kind = KvmKindOf(engines.kvm);
  const JailConfig& jail = config.jail;
  options.cgroup_parent = jail.cgroup_parent;
  options.cgroup_policy =
      jail.cgroups == "available" ? CgroupPolicy::kAsAvailable : CgroupPolicy::kRequired;
  options.seccomp =
      jail.seccomp == "off-for-debugging" ? SeccompUse::kOffForDebugging : SeccompUse::kEnforced;
  options.base_uid = jail.base_uid;
  options.kvm_overhead_mib = jail.kvm_overhead_mib;
  options.qemu_overhead_mib = jail.qemu_overhead_mib;
  return options;
}

BootSnapshots::Options BootSnapshotOptionsOf(const Config& config, const EngineFacts& engines,
                                             const DataDirectory& data) {
  BootSnapshots::Options options;
  options.directory = data.boot_snapshots();
  options.id = absl::StrCat("boot-snapshot-", InstanceOf(config));
  options.max_count = config.boot_snapshots.max_count;
  options.delay = config.boot_snapshots.delay;
  options.boot_timeout = config.sandbox.start_timeout;
  options.programs = {config.daemon.vmm};
  if (engines.qemu_problem.empty()) {
    options.programs.push_back(QemuDirectory(config) + "/bin/qemu-system-x86_64");
  }
  options.host = engines.kvm.state == KvmState::kEmulated ? "kvm emulates ring 0" : "";
  return options;
}

ImageJobOptions ImageJobOptionsOf(const Config& config) {
  ImageJobOptions options;
  options.program = config.daemon.image;
  options.instance = InstanceOf(config);
  options.memory_mib = config.images.memory_mib;
  options.cpu_milli = config.images.cpu_milli;
  options.pids_max = config.images.pids_max;
  options.silence_timeout = config.images.silence_timeout;
  return options;
}

}  // namespace msb
