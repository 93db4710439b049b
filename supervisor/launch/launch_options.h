// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the launcher is told once, from the daemon's configuration and the engine probe.

#ifndef MSB_SUPERVISOR_LAUNCH_LAUNCH_OPTIONS_H_
#define MSB_SUPERVISOR_LAUNCH_LAUNCH_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace msb {

// How the host runs the ring 0 of a guest on /dev/kvm.
enum class KvmKind { kHardware, kEmulatedRing0 };

// What to do on a host without the memory, cpu or pids controller.
enum class CgroupPolicy { kRequired, kAsAvailable };

// Whether VMMs confine their threads. Everything but kEnforced is for a developer.
enum class SeccompUse { kEnforced, kOffForDebugging };

struct LaunchOptions {
  std::string jailer_path = "/usr/libexec/microsandbox/msb-jailer";
  // A static executable that every user may read and execute.
  std::string vmm_path = "/usr/libexec/microsandbox/msb-vmm";
  // The folder that deploy/qemu makes, readable by every user; empty: no engine qemu.
  std::string qemu_directory = "/usr/share/microsandbox/qemu";
  // Holds a directory for each sandbox. Made, with mode 0700, when it is not there. At most 50
  // bytes, so that the paths of the sockets in it fit.
  std::string runtime_root = "/run/microsandbox/sandboxes";
  // Below each cgroup mount; each sandbox has a cgroup in it.
  std::string cgroup_parent = "microsandbox";
  CgroupPolicy cgroup_policy = CgroupPolicy::kRequired;
  // User and group of the VMM in slot 0, the first of kUserIds (below). The default lies in a range
  // that neither distributions nor systemd nor subuid hand out.
  uint32_t base_uid = 1'880'000'000;

  KvmKind kvm_kind = KvmKind::kHardware;
  SeccompUse seccomp = SeccompUse::kEnforced;

  // The cgroup's memory limit is the guest's memory and, for the process around it, this.
  uint32_t kvm_overhead_mib = 64;
  // QEMU's heap, its translated code (tb-size) and the VMM.
  uint32_t qemu_overhead_mib = 384;
  // Processes and threads of one sandbox's VMM.
  uint32_t pids_max = 512;
  // Descriptors: each connection into the guest is one.
  uint32_t max_open_files = 4096;
  // No file that the VMM writes grows beyond this, or the guest's memory or largest disk where that
  // is more.
  uint64_t max_log_bytes = 16u << 20;

  // Kept of each companion's log while it runs, and at most twice that of its earlier runs.
  uint64_t companion_log_bytes = 64u << 10;

  // From the start of the jailer to the VMM's first instruction: some milliseconds on an idle host.
  absl::Duration launch_timeout = absl::Seconds(15);
  // From SIGKILL to the last process's end: the kernel frees the guest's memory meanwhile.
  absl::Duration kill_timeout = absl::Seconds(30);
};

// Slots are 0 to kMaxSlots - 1.
inline constexpr uint32_t kMaxSlots = 65'536;

// The user ids of a daemon, as distances from base_uid: of the VMM in a slot, of its companions
// (CompanionSpec.own_user), of all image jobs, and of what makes boot snapshots. That of image jobs
// has files which outlive a daemon, and so stays where it was when a sandbox had one companion's
// user.
inline constexpr uint32_t kImageJobsUser = 2 * kMaxSlots;
// A VMM that makes a boot snapshot has a slot of its own, and no companions.
inline constexpr uint32_t kSnapshotSlot = kMaxSlots;
inline constexpr uint32_t kSnapshotUser = 3 * kMaxSlots + 1;
inline constexpr uint32_t kUserIds = 3 * kMaxSlots + 2;
constexpr uint32_t VmmUser(uint32_t slot) { return slot == kSnapshotSlot ? kSnapshotUser : slot; }
constexpr uint32_t CompanionUser(uint32_t slot, uint32_t own_user) {
  return own_user == 0 ? kMaxSlots + slot : kImageJobsUser + 1 + slot;
}

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_LAUNCH_OPTIONS_H_
